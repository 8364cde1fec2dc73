// A table is sorted by the column whose heading is pressed; pressed again, the other way round.
for (const button of document.querySelectorAll("th button"))
  button.addEventListener("click", () => {
    const heading = button.parentElement, body = heading.closest("table").tBodies[0];
    const column = [...heading.parentElement.children].indexOf(heading);
    const before = heading.getAttribute("aria-sort");
    const words = heading.classList.contains("words");
    const down = before ? before === "ascending" : !words;
    for (const other of heading.parentElement.children) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = row => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const compare = words ? (a, b) => value(a).localeCompare(value(b)) : (a, b) => value(a) - value(b);
    body.append(...[...body.rows].sort((a, b) => (down ? -1 : 1) * compare(a, b)));
  });

// The row of buttons below a drawing or a table; a network of the front has one already.
function toolsOf(one) {
  const own = one.closest(".network")?.querySelector(".tools");
  if (own) return own;
  const box = one.closest(".scroll") ?? one;
  if (box.parentElement.className === "figure") return box.parentElement.lastElementChild;
  const figure = Object.assign(document.createElement("div"), {className: "figure"});
  const row = Object.assign(document.createElement("div"), {className: "tools"});
  box.replaceWith(figure);
  figure.append(box, row);
  return row;
}

// A long table shows its first rows, in whatever order it is, and all when asked.
const MANY = 16, FIRST = 12;
for (const table of document.querySelectorAll("table")) {
  const count = table.tBodies[0].rows.length;
  if (count <= MANY) continue;
  const button = Object.assign(document.createElement("button"), {type: "button"});
  const fold = folded => {
    table.classList.toggle("folded", folded);
    button.textContent = folded ? `all ${count.toLocaleString("en")} rows` : `the first ${FIRST} rows`;
    button.setAttribute("aria-expanded", !folded);
  };
  button.addEventListener("click", () => fold(!table.classList.contains("folded")));
  toolsOf(table).append(button);
  fold(true);
}

// What is wider than its place scrolls, fades out at the side where there is more, and is reached from the keyboard.
function cue(box) {
  const hidden = box.scrollWidth - box.clientWidth;
  box.classList.toggle("left", box.scrollLeft > 2);
  box.classList.toggle("right", box.scrollLeft < hidden - 2);
  if (hidden > 2) box.tabIndex = 0;
  else box.removeAttribute("tabindex");
}
const resized = new ResizeObserver(entries => entries.forEach(({target}) => {
  if (target.matches(".scroll")) cue(target);
  // Text in charts is of one size, however wide they are shown.
  else {
    const {width} = target.getBoundingClientRect();
    if (width) target.style.setProperty("--scale", target.viewBox.baseVal.width / width);
  }
}));
for (const box of document.querySelectorAll(".scroll")) {
  box.addEventListener("scroll", () => cue(box), {passive: true});
  resized.observe(box);
}
for (const chart of document.querySelectorAll("svg.chart")) resized.observe(chart);
