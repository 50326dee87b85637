// The page of a match in a frame of its own: an origin that reaches neither the notebook nor the network.
export default {
  render({ model, el }) {
    const frame = document.createElement("iframe");
    frame.title = "Neurons and their partners";
    frame.setAttribute("sandbox", "allow-scripts");
    frame.style.cssText = `width: 100%; border: 0; height: ${model.get("height")}px`;
    const show = () => { frame.srcdoc = model.get("page"); };
    const search = () => frame.contentWindow?.postMessage({ search: model.get("search") }, "*");
    const heard = (event) => {
      if (event.source !== frame.contentWindow || typeof event.data?.found !== "number") return;
      if (event.data.search !== model.get("search")) model.set("search", event.data.search);
      model.set("found", event.data.found);
      model.save_changes();
    };
    window.addEventListener("message", heard);
    frame.addEventListener("load", search);
    model.on("change:page", show);
    model.on("change:search", search);
    show();
    el.append(frame);
    return () => {
      window.removeEventListener("message", heard);
      model.off("change:page", show);
      model.off("change:search", search);
    };
  },
};
