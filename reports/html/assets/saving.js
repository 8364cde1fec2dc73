// Every drawing and table can be saved: as it would be on a light page, with all that it needs in its own file.
const LOOKS = {
  fill: "rgb(0, 0, 0)", "fill-opacity": "1", stroke: "none", "stroke-width": "1px", "stroke-opacity": "1",
  "stroke-dasharray": "none", "stroke-linecap": "butt", "stroke-linejoin": "miter", opacity: "1",
  "font-size": "", "font-family": "", "font-weight": "400", "text-anchor": "start", display: "inline",
};
const MARGIN = 14; // words may reach beyond a chart
const DOTS = 3; // of a PNG to a pixel of the page: about 300 an inch

function pictureOf(svg) {
  const root = document.documentElement, scale = svg.style.getPropertyValue("--scale");
  root.classList.add("light");
  svg.style.removeProperty("--scale");
  const copy = styled(svg);
  if (/url\(/.test(copy.outerHTML)) copy.prepend(styled(document.querySelector("defs")));
  if (scale) svg.style.setProperty("--scale", scale);
  root.classList.remove("light");
  const {x: left, y: top, width: wide, height: high} = svg.viewBox.baseVal;
  const [x, y, width, height] = [left - MARGIN, top - MARGIN, wide + 2 * MARGIN, high + 2 * MARGIN];
  copy.prepend(drawing("rect", {x, y, width, height, fill: "#fff"}));
  for (const [name, value] of Object.entries({xmlns: "http://www.w3.org/2000/svg", viewBox: `${x} ${y} ${width} ${height}`, width, height}))
    copy.setAttribute(name, value);
  return {words: new XMLSerializer().serializeToString(copy), width, height};
}

// A copy whose look stands in itself.
function styled(original) {
  const copy = original.cloneNode(true);
  const pairs = [[original, copy]];
  original.querySelectorAll("*").forEach((one, index) => pairs.push([one, copy.querySelectorAll("*")[index]]));
  for (const [one, other] of pairs) {
    const look = getComputedStyle(one), isText = one.localName === "text";
    for (const {name} of [...other.attributes]) if (/^(class|style|role|tabindex|data-|aria-)/.test(name)) other.removeAttribute(name);
    if (["title", "svg", "g", "defs", "pattern"].includes(one.localName)) continue;
    for (const [name, usual] of Object.entries(LOOKS)) {
      const value = look.getPropertyValue(name);
      if (name.startsWith("font") || name === "text-anchor" ? isText && value !== usual : value !== usual) other.setAttribute(name, value);
    }
  }
  return copy;
}

function asPicture({words, width, height}) {
  return new Promise((done, failed) => {
    const image = new Image();
    image.onerror = () => failed(new Error("the drawing could not be read"));
    image.onload = () => {
      const canvas = Object.assign(document.createElement("canvas"), {width: DOTS * width, height: DOTS * height});
      canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      canvas.toBlob(done, "image/png");
    };
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(words)}`;
  });
}

// A table's numbers, not as they are rounded for reading.
function numbersOf(table) {
  const cell = one => {
    const value = one.dataset.value ?? one.textContent.replaceAll("\u00a0", " ");
    return /[",\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
  };
  return [...table.rows].map(row => [...row.cells].map(cell).join(",") + "\r\n").join("");
}

function save(content, type, name) {
  const address = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], {type}));
  Object.assign(document.createElement("a"), {href: address, download: name}).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

function button(words, label, action) {
  const made = Object.assign(document.createElement("button"), {type: "button", textContent: words});
  if (label) made.setAttribute("aria-label", label);
  made.addEventListener("click", action);
  return made;
}

// Files are named by the run, and the part of the page and their number in it, or the network.
const run = document.title.split(" · ")[0].replace(/[^\w.-]+/g, "-");
const counts = {};
for (const one of document.querySelectorAll("svg.chart, svg.drawing, .scroll > table")) {
  const part = one.closest(".network, section")?.id ?? "answer", isTable = one.localName === "table";
  counts[part] = (counts[part] ?? 0) + 1;
  const name = one.closest(".network") ? `${run}-${part}` : `${run}-${part}-${counts[part]}`;
  const buttons = [];
  const zoom = zooms.get(one);
  if (zoom) buttons.push(
    button("+", "zoom in", () => zoom.nearer(2)), button("−", "zoom out", () => zoom.nearer(0.5)),
    button("whole", "show the whole chart", () => zoom.look(zoom.whole)));
  if (!isTable) buttons.push(
    button("SVG", `save ${name}.svg`, () => save(pictureOf(one).words, "image/svg+xml", `${name}.svg`)),
    button("PNG", `save ${name}.png`, async () => save(await asPicture(pictureOf(one)), "image/png", `${name}.png`)));
  const numbers = isTable ? () => numbersOf(one) : one.dataset.csv ? () => one.dataset.csv : null;
  if (numbers) buttons.push(button("CSV", `save ${name}.csv`, () => save(numbers(), "text/csv", `${name}.csv`)));
  toolsOf(one).append(...buttons);
}

// Commands, digests and architectures are copied. Where a browser keeps its clipboard from pages, as text that is selected.
async function copy(words, from) {
  try {
    await navigator.clipboard.writeText(words);
  } catch {
    const field = Object.assign(document.createElement("textarea"), {value: words});
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
  const before = from.textContent;
  from.textContent = "copied";
  setTimeout(() => (from.textContent = before), 1200);
}
for (const block of document.querySelectorAll("pre")) {
  const made = button("copy", null, () => copy(block.textContent, made));
  made.className = "copy";
  const frame = Object.assign(document.createElement("div"), {className: "command"});
  block.replaceWith(frame);
  frame.append(block, made);
}
for (const one of document.querySelectorAll("[data-copy]")) one.addEventListener("click", () => copy(one.dataset.copy, one));
