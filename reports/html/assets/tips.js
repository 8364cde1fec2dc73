"use strict";
document.documentElement.classList.add("js");

// What a mark says, under the pointer or at the keyboard's focus.
const tip = document.body.appendChild(Object.assign(document.createElement("div"), {id: "tip"}));
tip.setAttribute("aria-hidden", "true"); // the marks' own labels say the same
function say(words, x, y) {
  tip.textContent = words;
  tip.classList.add("on");
  const {width, height} = tip.getBoundingClientRect();
  tip.style.left = Math.max(8, Math.min(x + 14, innerWidth - width - 8)) + "px";
  tip.style.top = (y - height - 14 < 8 ? y + 18 : y - height - 14) + "px";
}

// The points of a chart near a place on the screen, the nearest first: what lies below another is among them.
function near(chart, x, y, reach, which = "circle[data-tip]") {
  const toScreen = chart.getScreenCTM();
  const found = [];
  for (const mark of chart.querySelectorAll(which)) {
    if (mark.style.display === "none") continue;
    const at = new DOMPoint(mark.cx.baseVal.value, mark.cy.baseVal.value).matrixTransform(toScreen);
    const far = Math.hypot(at.x - x, at.y - y);
    if (far <= reach) found.push([far, mark]);
  }
  return found.sort((a, b) => a[0] - b[0]).map(([, mark]) => mark);
}

const OVERLAP = 7, TOLD = 4; // pixels on the screen; points that are told at once
document.addEventListener("pointermove", event => {
  const chart = event.target.closest("svg.chart");
  const points = chart ? near(chart, event.clientX, event.clientY, OVERLAP) : [];
  const mark = event.target.closest("[data-tip]");
  const marks = points.length ? points : mark ? [mark] : [];
  if (!marks.length) return tip.classList.remove("on");
  const told = marks.slice(0, TOLD).map(one => one.dataset.tip);
  const more = marks.length - told.length;
  say(told.join(marks.length > 1 ? "\n\n" : "") + (more ? `\n\nand ${more} more here: zoom in` : ""), event.clientX, event.clientY);
});
document.addEventListener("focusin", event => {
  const mark = event.target.closest("[data-tip]");
  if (!mark) return tip.classList.remove("on");
  const box = mark.getBoundingClientRect();
  say(mark.dataset.tip, box.right, box.top);
});
