"use strict";
document.documentElement.classList.add("js");

// What a mark says, under the pointer or at the keyboard's focus.
const tip = document.body.appendChild(Object.assign(document.createElement("div"), {id: "tip"}));
function say(mark, x, y) {
  tip.textContent = mark.dataset.tip;
  tip.classList.add("on");
  const {width, height} = tip.getBoundingClientRect();
  tip.style.left = Math.max(8, Math.min(x + 14, innerWidth - width - 8)) + "px";
  tip.style.top = (y - height - 14 < 8 ? y + 18 : y - height - 14) + "px";
}
document.addEventListener("pointermove", event => {
  const mark = event.target.closest("[data-tip]");
  if (mark) say(mark, event.clientX, event.clientY);
  else tip.classList.remove("on");
});
document.addEventListener("focusin", event => {
  const mark = event.target.closest("[data-tip]");
  if (!mark) return tip.classList.remove("on");
  const box = mark.getBoundingClientRect();
  say(mark, box.right, box.top);
});

// One network of the front is shown at a time.
function show(name) {
  for (const one of document.querySelectorAll(".network")) one.hidden = one.id !== name;
  for (const one of document.querySelectorAll("circle[data-show]"))
    one.setAttribute("aria-pressed", one.dataset.show === name);
  for (const one of document.querySelectorAll("tr[data-show]"))
    one.setAttribute("aria-selected", one.dataset.show === name);
}
document.addEventListener("click", event => {
  const chosen = event.target.closest("[data-show]");
  if (chosen) show(chosen.dataset.show);
});
document.addEventListener("keydown", event => {
  const members = [...document.querySelectorAll("circle[data-show]")];
  const at = members.indexOf(document.activeElement);
  if (at < 0) return;
  const step = {ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1}[event.key];
  if (step) members[Math.min(members.length - 1, Math.max(0, at + step))].focus();
  if (step || event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    show(document.activeElement.dataset.show);
  }
});
const chosen = document.querySelector("[data-chosen]");
if (chosen) show(chosen.dataset.chosen);

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
