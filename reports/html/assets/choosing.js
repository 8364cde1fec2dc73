// One network of the front is shown at a time, and a second one beside it that is kept.
const panels = [...document.querySelectorAll(".network")];
let shown = null, kept = null;

function show(name) {
  shown = name;
  for (const panel of panels) {
    const isKept = panel.id === kept;
    panel.hidden = panel.id !== shown && !isKept;
    panel.classList.toggle("kept", isKept);
    const button = panel.querySelector("[data-keep]");
    button.setAttribute("aria-pressed", isKept);
    button.textContent = isKept ? "let go" : "keep beside the next";
  }
  for (const mark of document.querySelectorAll("svg [data-show]")) {
    const chosen = mark.dataset.show === name;
    mark.classList.toggle("held", mark.dataset.show === kept);
    mark.classList.toggle("chosen", chosen);
    if (mark.hasAttribute("role")) {
      mark.setAttribute("aria-pressed", chosen);
      mark.setAttribute("tabindex", chosen ? 0 : -1); // the arrow keys go on from there
    } else if (chosen) mark.parentNode.append(mark); // a line: on top of the others
  }
  for (const row of document.querySelectorAll("tr[data-show]")) {
    row.classList.toggle("chosen", row.dataset.show === name);
    row.querySelector("button")?.setAttribute("aria-pressed", row.dataset.show === name);
  }
  compare();
}

// How the numbers of the chosen one differ from those of the kept: costs by their ratio.
function compare() {
  const [first, second] = [kept, shown].map(name => panels.find(panel => panel.id === name));
  for (const old of document.querySelectorAll(".network small")) old.remove();
  if (!first || !second || first === second) return;
  for (const value of second.querySelectorAll("dd[data-value]")) {
    const other = first.querySelector(`dd[data-name="${CSS.escape(value.dataset.name)}"]`);
    if (!other) continue;
    const [mine, its] = [+value.dataset.value, +other.dataset.value];
    const {scale, decimals, step} = value.dataset;
    const changed = scale ? (mine - its) * scale : 100 * (mine / its - 1);
    if (!Number.isFinite(changed)) continue;
    const number = Math.abs(changed).toFixed(scale ? decimals : 1);
    const told = document.createElement("small");
    told.textContent = ` ${changed < 0 ? "−" : "+"}${number} ${scale ? step : "%"}`;
    value.append(told);
  }
}

document.addEventListener("click", event => {
  const keep = event.target.closest("[data-keep]");
  if (keep) {
    const name = keep.closest(".network").id;
    kept = kept === name ? null : name;
    return show(shown);
  }
  const chart = event.target.closest("svg.chart");
  const chosen = (chart && pointed(chart, event)) ?? event.target.closest("[data-show]");
  if (chosen) show(chosen.dataset.show);
});

// The network's point that is meant: a finger is wider than a point, and of several at one place each press takes the next.
function pointed(chart, event) {
  const reach = event.pointerType === "touch" ? 24 : 12, which = "circle[data-show]";
  const [nearest] = near(chart, event.clientX, event.clientY, reach, which);
  if (!nearest) return null;
  const box = nearest.getBoundingClientRect();
  const there = near(chart, box.left + box.width / 2, box.top + box.height / 2, OVERLAP, which);
  return there[(there.findIndex(point => point.dataset.show === shown) + 1) % there.length];
}

document.addEventListener("keydown", event => {
  const chart = document.activeElement?.closest?.("svg.chart");
  if (!chart) return;
  const members = [...chart.querySelectorAll("circle[data-show]")].filter(one => one.style.display !== "none");
  const at = members.indexOf(document.activeElement);
  if (at < 0) return;
  const step = {ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1}[event.key];
  if (!step && event.key !== "Enter" && event.key !== " ") return;
  event.preventDefault();
  const next = members[Math.min(members.length - 1, Math.max(0, at + (step ?? 0)))];
  show(next.dataset.show);
  next.focus();
});
const first = document.querySelector("[data-chosen]");
if (first) show(first.dataset.chosen);
