-- What plain pandoc lacks of Quarto's dialect: numbered figures, tables and sections, and references to them.
-- Every reference, citation and image must resolve: the build fails here, not in the reader's browser.

local LABEL = { fig = "Figure", tbl = "Table", sec = "Section" }
local numbers, known, problems = {}, {}, {}

local function kind(id)
  local prefix = id:match("^(%a+)%-")
  return LABEL[prefix] and prefix
end

local function problem(text)
  problems[#problems + 1] = text
end

local function number_sections(doc)
  local sections = pandoc.Pandoc(pandoc.utils.make_sections(true, nil, doc.blocks))
  sections:walk({
    Div = function(div)
      if div.identifier ~= "" and div.attributes.number then
        numbers[div.identifier] = div.attributes.number
      end
    end,
  })
end

local function number_floats(doc)
  local counts = { fig = 0, tbl = 0 }
  doc:walk({
    Div = function(div)
      local prefix = kind(div.identifier)
      if not counts[prefix] then return end
      if numbers[div.identifier] then problem("two blocks with the name " .. div.identifier) end
      counts[prefix] = counts[prefix] + 1
      numbers[div.identifier] = tostring(counts[prefix])
    end,
  })
end

-- A figure or table block: its last paragraph is the caption, below a figure and above a table.
local function float(div)
  local prefix = kind(div.identifier)
  if prefix ~= "fig" and prefix ~= "tbl" then return nil end
  local caption = div.content[#div.content]
  if not caption or caption.t ~= "Para" then
    problem(div.identifier .. " has no caption")
    return nil
  end
  local body = pandoc.Blocks({})
  for i = 1, #div.content - 1 do body:insert(div.content[i]) end
  local label = pandoc.Strong({ pandoc.Str(LABEL[prefix] .. "\u{a0}" .. numbers[div.identifier] .. ":") })
  local words = pandoc.Blocks({
    pandoc.RawBlock("html", "<figcaption>"),
    pandoc.Plain(pandoc.Inlines({ label, pandoc.Space() }) .. caption.content),
    pandoc.RawBlock("html", "</figcaption>"),
  })
  local classes = table.concat(div.classes, " ")
  local open = string.format('<figure id="%s" class="%s %s">', div.identifier, prefix, classes)
  local content = prefix == "tbl" and words .. body or body .. words
  return pandoc.Blocks({ pandoc.RawBlock("html", open) }) .. content .. { pandoc.RawBlock("html", "</figure>") }
end

local function reference(citation)
  local prefix, number = kind(citation.id), numbers[citation.id]
  if not number then
    problem("reference to nothing: @" .. citation.id)
    return pandoc.Str("?")
  end
  local text = citation.mode == "SuppressAuthor" and number or LABEL[prefix] .. "\u{a0}" .. number
  return pandoc.Link(text, "#" .. citation.id, "", { class = "crossref" })
end

local function cite(element)
  local links = pandoc.Inlines({})
  for i, citation in ipairs(element.citations) do
    if kind(citation.id) then
      if i > 1 then links:extend({ pandoc.Str(","), pandoc.Space() }) end
      links:insert(reference(citation))
    elseif not known[citation.id] then
      problem("citation of nothing: @" .. citation.id)
    end
  end
  if #links > 0 then return links end
end

local function image(element)
  if element.attributes["fig-alt"] then
    element.attributes.alt = element.attributes["fig-alt"]
    element.attributes["fig-alt"] = nil
  end
  local file = io.open(element.src, "rb")
  if file then file:close() else problem("image that is not there: " .. element.src) end
  return element
end

function Pandoc(doc)
  for _, entry in ipairs(pandoc.utils.references(doc)) do known[entry.id] = true end
  number_sections(doc)
  number_floats(doc)
  doc = doc:walk({ Cite = cite, Image = image }):walk({ Div = float })
  if #problems > 0 then error(table.concat(problems, "; "), 0) end
  return doc
end
