"""Texts that try to be more than text; those that would run something set ``window.ran``."""

MARKUP = (
    "<script>window.ran=1</script>",
    "</script><script>window.ran=1</script>",
    "</style><style>*{display:none}</style>",
    "<img src=x onerror=window.ran=1>",
    '" onmouseover="window.ran=1" autofocus onfocus="window.ran=1',
    "' onfocus='window.ran=1' autofocus='",
    "</td></tr></table><h1>new</h1>",
    "</svg><iframe src=javascript:window.ran=1>",
    "<svg onload=window.ran=1><animate onbegin=window.ran=1 attributeName=x dur=1s>",
    "<math><mtext></p><style><img src=x onerror=window.ran=1></style></mtext></math>",
    '<noscript><p title="</noscript><img src=x onerror=window.ran=1>">',
    "<details open ontoggle=window.ran=1><summary>s</summary></details>",
    '<a href="java&#9;script:window.ran=1" id=main>x</a>',
    "<base href=//example.org/><link rel=stylesheet href=//example.org/x.css>",
    '<meta http-equiv=refresh content="0;url=javascript:window.ran=1">',
    "<form action=javascript:window.ran=1><button id=theme>x</button></form>",
    "<template><script>window.ran=1</script></template><object data=x><embed src=x>",
    "--><b>out of a comment</b><!--",
    "]]><b>out of CDATA</b><![CDATA[",
    "&lt;b&gt; &#60;b&#62; &amp;lt; &NewLine; &colon;",
    'x" style="background:url(//example.org/x)',
)
TEMPLATES = (
    "{{< include /etc/passwd >}}",
    "{{< meta title >}} {{% x %}}",
    "<< summary >> <% raise %> <!--# x #-->",
    "{{ 7 * 7 }} ${7*7} #{7*7}",
    "$title$ $if(x)$ $for(x)$ $$",
)
MARKDOWN = (
    "`` ` ``` `code`{=html} ~~~",
    "```{=html}\n<b onclick=window.ran=1>raw</b>\n```",
    "`<img src=x onerror=window.ran=1>`{=html}",
    "::: {.lead}\ntext\n:::",
    "# Heading {#sec-share}",
    "[link](javascript:window.ran=1) ![image](x.png)",
    "<javascript:window.ran=1> <https://example.org>",
    "@fig-nothing ?@fig-nothing [@nobody2020] @tbl-one",
    "[^1] and [^1]: note",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "$\\input{x}$ \\begin{x} \\(y\\)",
    "*a* _b_ ~c~ ^d^ **e** ~~f~~",
    "- item\n1. item\n> quote",
    "---\ntitle: other\n---",
    "\\<b>\\</b> \\\\",
    "trailing backslash \\",
)
SCRIPT = (
    "';window.ran=1;//",
    "`${window.ran=1}`",
    "\\u003cscript>window.ran=1\\u003c/script>",
    "u1:AAAA",
    "__proto__ constructor",
)
DRAWING = (
    "$\\frac{1}{2}$ $x$ $\\unknown{",
    "font: 10px 'DejaVu Sans'; font-family: DejaVu Sans",
    ' id="a" href="#b" url(#c) xlink:href="#d"',
    "#1c1e22 #0072b2 rotate(-0 1 2) 1.23456",
)
TYPST = (
    '#panic("ran") #eval("1+1") #include "x.typ"',
    "#set page(width: 1cm) #let x = 1; #x",
    "= Heading <label> @label // comment /* open",
    '"; #raw("x") ]) #[',
)
CELLS = (
    "=HYPERLINK(1) +1 -1 @x",
    "-1+1",
    "@SUM(A1)",
    "x;=1+1;+2|@3",
    "a\";=cmd|' /C calc'!A0",
    "\uff1d1+1",
    "\t=1+1",
    " \u00a0=1+1",
)
CONTROLS = (
    "a\u2028b\u2029c\u202ed\u0000e",
    "\x1b[2J\x1b[31mred \x1b]8;;https://example.org\x07link\x1b]8;;\x07 \x9b31m",
    "over\rwritten \x08\x08\x08 \x7f",
    "\u2066isolated \u202eright to left",
    "zero\u200bwidth \u00ad\u2060\ufeff \u3164\u115f empty",
)
WORDS = (
    "日本語 עברית العربية 🙂 a\u0301\u0302\u0303",
    "long " * 600,
    "NUL CON ../../etc/passwd \\\\server\\share",
)
PAYLOADS = (*MARKUP, *TEMPLATES, *MARKDOWN, *SCRIPT, *DRAWING, *TYPST, *CELLS, *CONTROLS, *WORDS)
