// Mouse, fingers and keyboard on the timeline.
//
// Wheel and fingers scroll the lanes as they scroll any page; what has a modifier is the
// browser's. A task is chosen by a click, a tap or the keyboard, and its tip stays.

function placeOf(event) {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}
function taskAt(px, py) {
  const top = y(0) - (isNarrow ? LINE : 0), number = Math.floor((py - top) / pitch);
  if (px < left || py < below() || number < 0 || number >= lanes.length) return null;
  if (py < y(number) || py > y(number) + HEIGHT) return null;
  const there = when(px), slack = (to - from) / width() * 2;
  let near = null, found = null;
  for (let n = firstVisible(number); n < lanes[number].length; n++) {
    const task = lanes[number][n];
    if (task[STARTED] - slack > there) break;
    if (endOf(task) + slack >= there) near = task;
    if (task[STARTED] <= there && endOf(task) >= there) found = task; // the innermost
  }
  return found ?? near;
}

// The tip.
const MOMENTS = [["pickled", PICKLED], ["queued", QUEUED], ["sent", SENT], ["started", STARTED],
                 ["ended", ENDED], ["returned", RETURNED]];
function told(task) {
  const rows = [["submitted", moment(task[SUBMITTED], Math.max((to - from) / 1000, 0.1))]];
  let before = task[SUBMITTED];
  for (const [name, step] of MOMENTS) {
    if (task[step] === null) continue;
    rows.push([name, `${seconds(Math.max(task[step] - before, 0))} later`]);
    before = task[step];
  }
  rows.push(["ran", seconds(endOf(task) - task[STARTED])]);
  rows.push(["bytes", `${bytes(task[SIZE])} in, ${bytes(task[ANSWER])} out`]);
  if (task[COUNT] > 1) rows.push(["calls", task[COUNT]]);
  rows.push(["outcome", task[OUTCOME] || "open"]);
  return rows;
}
function showTip(task, px, py) {
  const tip = at("tip");
  tip.replaceChildren(text("b", data.functions[task[FN]].name),
                      text("div", data.lanes[task[LANE]].label, "faint"),
                      table([], told(task)));
  tip.style.display = "block";
  const box = tip.getBoundingClientRect();
  const above = py - box.height - 14;
  const beside = py + 14 + box.height + 8 <= innerHeight || above < 8;
  tip.style.left = Math.max(Math.min(px + 14, innerWidth - box.width - 8), 8) + "px";
  tip.style.top = (beside ? Math.min(py + 14, innerHeight - box.height - 8) : above) + "px";
}
// Show the tip of the task under the pointer, else of the chosen one, if it is in sight.
function tell(event = null) {
  if (hover && event) return showTip(hover, event.clientX, event.clientY);
  const box = canvas.getBoundingClientRect();
  const top = chosen ? y(chosen[LANE]) : 0;
  if (!chosen || chosen[STARTED] > to || endOf(chosen) < from || top < below() - HEIGHT
      || top > high) {
    at("tip").style.display = "none";
    return;
  }
  const px = Math.min(Math.max(x(chosen[STARTED]), left), wide - 20);
  showTip(chosen, box.left + px, box.top + Math.max(top, below()) + HEIGHT - 10);
}
function choose(task) {
  chosen = task;
  if (task) bringIntoSight(task);
  draw();
  tell();
}
function bringIntoSight(task) {
  const span = to - from, middle = (task[STARTED] + endOf(task)) / 2;
  if (endOf(task) < from || task[STARTED] > to) show(middle - span / 2, middle + span / 2);
  const above = below() + (isNarrow ? LINE : 0), top = y(task[LANE]);
  if (top < above) frame.scrollTop += top - above;
  else if (top + HEIGHT + GAP > high) frame.scrollTop += top + HEIGHT + GAP - high;
}

// Pointers: one moves, two zoom.
const pointers = new Map();
let drag = null;
function grasp() {
  const places = [...pointers.values()];
  drag = places.length ? { places, from, to, top: frame.scrollTop, moved: drag?.moved ?? false }
                       : null;
}
function pinch() {
  const [one, other] = drag.places, [a, b] = [...pointers.values()];
  const apart = (p, q) => Math.max(Math.hypot(p[0] - q[0], p[1] - q[1]), 10);
  const share = apart(one, other) / apart(a, b);
  const span = (drag.to - drag.from) * share;
  const held = drag.from + ((one[0] + other[0]) / 2 - left) / width() * (drag.to - drag.from);
  const begin = held - ((a[0] + b[0]) / 2 - left) / width() * span;
  show(begin, begin + span);
}
function move(event) {
  const [[px, py]] = drag.places, [nowX, nowY] = placeOf(event);
  drag.moved ||= Math.abs(nowX - px) > 3 || Math.abs(nowY - py) > 3;
  if (!drag.moved) return;
  const by = (nowX - px) / width() * (drag.to - drag.from);
  if (event.pointerType === "mouse") frame.scrollTop = drag.top - (nowY - py);
  show(drag.from - by, drag.to - by);
}
canvas.addEventListener("pointerdown", event => {
  if (event.button) return;
  pointers.set(event.pointerId, placeOf(event));
  canvas.setPointerCapture(event.pointerId);
  drag = null;
  grasp();
});
canvas.addEventListener("pointermove", event => {
  if (pointers.has(event.pointerId)) {
    if (pointers.size === 1) move(event);
    else {
      pointers.set(event.pointerId, placeOf(event));
      drag.moved = true;
      pinch();
    }
    return tell();
  }
  const task = taskAt(...placeOf(event));
  if (task !== hover) { hover = task; draw(); }
  tell(event);
});
function release(event, isTap) {
  if (!pointers.delete(event.pointerId)) return;
  if (isTap && drag && !drag.moved) choose(taskAt(...placeOf(event)));
  grasp();
}
canvas.addEventListener("pointerup", event => release(event, true));
canvas.addEventListener("pointercancel", event => release(event, false)); // it scrolls
canvas.addEventListener("pointerleave", () => {
  if (hover) { hover = null; draw(); }
  tell();
});
canvas.addEventListener("dblclick", () => show(0, data.end));
// The wheel zooms above the lanes. Beside that it scrolls them, and sideways it moves.
canvas.addEventListener("wheel", event => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const [px, py] = placeOf(event), unit = event.deltaMode === 1 ? 16 : 1;
  const sideways = event.shiftKey && !event.deltaX ? event.deltaY : event.deltaX;
  if (Math.abs(sideways) > (event.shiftKey ? 0 : Math.abs(event.deltaY))) {
    const by = sideways * unit / width() * (to - from);
    show(from + by, to + by);
  } else if (py < below()) {
    zoom(Math.exp(Math.max(-120, Math.min(120, event.deltaY * unit)) * 0.0022), when(px));
  } else return;
  event.preventDefault();
}, { passive: false });
frame.addEventListener("scroll", () => { hover = null; draw(); tell(); });

at("in").onclick = () => { zoom(0.5); tell(); };
at("out").onclick = () => { zoom(2); tell(); };
at("all").onclick = () => { show(0, data.end); tell(); };

// The keyboard: keys of the whole page, and those that choose tasks in the timeline.
const pageKeys = {
  "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), "0": () => show(0, data.end),
  ArrowLeft: () => show(from - (to - from) / 4, to - (to - from) / 4),
  ArrowRight: () => show(from + (to - from) / 4, to + (to - from) / 4),
  Escape: () => choose(null),
};
const viewKeys = {
  ArrowUp: () => chooseLane(-1), ArrowDown: () => chooseLane(1),
  ",": () => chooseBeside(-1), ".": () => chooseBeside(1), Enter: zoomToChosen,
};
function chooseLane(by) {
  const there = middle();
  let number = chosen ? chosen[LANE] + by : Math.round(frame.scrollTop / pitch);
  while (lanes[number] && !lanes[number].length) number += by;
  if (lanes[number]) choose(nearest(lanes[number], there));
}
function nearest(lane, moment) {
  let low = 0, high = lane.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (lane[middle][STARTED] <= moment) low = middle + 1; else high = middle;
  }
  const before = lane[low - 1], after = lane[low];
  if (!before || !after) return before ?? after;
  return moment - endOf(before) <= after[STARTED] - moment ? before : after;
}
function chooseBeside(by) {
  if (!chosen) return chooseLane(1);
  const lane = lanes[chosen[LANE]];
  choose(lane[lane.indexOf(chosen) + by] ?? chosen);
}
function zoomToChosen() {
  if (!chosen) return;
  const begin = Math.min(chosen[SUBMITTED], chosen[STARTED]);
  const end = Math.max(endOf(chosen), chosen[RETURNED] ?? 0), more = (end - begin) * 0.1;
  show(begin - more, end + more);
}
function say(task) {
  const words = told(task).map(row => row.join(" ")).join(", ");
  at("said").textContent = `${data.functions[task[FN]].name} on ${data.lanes[task[LANE]].label}: ${words}`;
}
addEventListener("keydown", event => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const act = pageKeys[event.key] ?? (event.target === canvas ? viewKeys[event.key] : null);
  if (!act || event.target.closest(".scroll")) return;
  act();
  tell();
  if (chosen && viewKeys[event.key]) say(chosen);
  event.preventDefault();
});
function lay() { measure(); draw(); tell(); }
addEventListener("resize", lay);
addEventListener("scroll", () => tell());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", lay);
