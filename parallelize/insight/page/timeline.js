// The picture: a ruler, the number of waiting tasks, and a lane for each worker.
//
// The canvas shows the part of the lanes that the frame has scrolled to; ruler and hill
// stay above them.

const lanes = data.lanes.map(() => []);
for (const task of data.tasks)
  if (task[LANE] >= 0 && task[STARTED] !== null) lanes[task[LANE]].push(task);
const endOf = task => task[ENDED] ?? data.end;
// For each task of a lane, when the last of those up to it ends: a task may hold others.
const reaches = lanes.map(lane => {
  lane.sort((a, b) => a[STARTED] - b[STARTED]);
  let last = 0;
  return lane.map(task => (last = Math.max(last, endOf(task))));
});

// The number of waiting tasks, as steps [moment, count].
const steps = (() => {
  const changes = [];
  for (const task of data.tasks) {
    const until = task[STARTED] ?? task[RETURNED] ?? data.end;
    changes.push([task[QUEUED], 1], [Math.max(until, task[QUEUED]), -1]);
  }
  changes.sort((a, b) => a[0] - b[0]);
  let count = 0;
  return changes.map(([when, by]) => [when, count += by]);
})();
const mostWaiting = steps.reduce((most, [, count]) => Math.max(most, count), 0);

const frame = at("frame"), canvas = at("view"), pen = canvas.getContext("2d");
const FONT = "12px system-ui, 'DejaVu Sans', sans-serif";
const AXIS = 22, HEIGHT = 26, GAP = 5, EDGE = 10, LINE = 16;
const LEAST = 0.5; // microseconds
const WHOLE = Math.max(data.end, 1);
let from = 0, to = WHOLE, chosen = null, hover = null, ink = {};
// Where all stands; names stand beside the lanes, or above them where that is too narrow.
let wide = 0, high = 0, left = 0, hill = 0, pitch = 0, isNarrow = false;

const width = () => wide - left - 8;
const x = when => left + (when - from) / (to - from) * width();
const when = px => from + (px - left) / width() * (to - from);
const below = () => AXIS + hill; // where the lanes begin
const y = lane => below() + lane * pitch + (isNarrow ? LINE : 0) - frame.scrollTop;

function measure() {
  measureAt(canvas.clientWidth);
  if (canvas.clientWidth !== wide) measureAt(canvas.clientWidth); // a scroll bar has come
  const style = getComputedStyle(document.documentElement);
  for (const name of ["back", "text", "faint", "line", "wait", "bad", "accent"])
    ink[name] = style.getPropertyValue("--" + name).trim();
  ink.paper = ink.back.match(/\w\w/g).map(part => parseInt(part, 16));
}
function measureAt(size) {
  wide = size;
  isNarrow = wide < 560;
  pen.font = FONT;
  const names = data.lanes.map(lane => pen.measureText(lane.label).width);
  const longest = names.reduce((most, each) => Math.max(most, each), 60);
  const waiting = pen.measureText(waitingText()).width;
  left = isNarrow ? EDGE : Math.min(Math.max(longest, waiting) + 2 * EDGE, wide * 0.28);
  hill = isNarrow ? 46 + LINE : 46;
  pitch = HEIGHT + GAP + (isNarrow ? LINE : 0);
  const all = below() + data.lanes.length * pitch + 8;
  at("space").style.height = all + "px";
  high = Math.min(all, Math.floor(innerHeight * 0.7) - 2);
  canvas.style.height = high + "px";
}
const waitingText = () => `waiting (at most ${mostWaiting})`;

function show(begin, end) {
  const span = Math.min(Math.max(end - begin, LEAST), WHOLE);
  from = Math.min(Math.max(begin, 0), WHOLE - span);
  to = from + span;
  draw();
}
// The middle of what is seen of the chosen task, else of all that is seen.
function middle() {
  const seen = chosen && chosen[STARTED] < to && endOf(chosen) > from;
  return seen ? (Math.max(chosen[STARTED], from) + Math.min(endOf(chosen), to)) / 2
              : (from + to) / 2;
}
function zoom(factor, around = middle()) {
  show(around - (around - from) * factor, around + (to - around) * factor);
}

function draw() {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(wide * ratio);
  canvas.height = Math.round(high * ratio);
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.font = FONT;
  pen.textBaseline = "middle";
  drawLanes();
  drawAxis();
  drawHill();
  const step = (to - from) / 100;
  at("shown").textContent =
    `${moment(from, step, to)} to ${moment(to, step)}, of ${seconds(data.end)}`;
  canvas.dataset.from = from;
  canvas.dataset.to = to;
}
function clipped(box, drawing) {
  pen.save();
  pen.beginPath();
  pen.rect(...box);
  pen.clip();
  drawing();
  pen.restore();
}

// The ruler. Labels have the digits that tell them apart, and do not touch.
const NICE = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600,
              43200].map(each => each * 1e6);
function niceStep(rough) {
  if (rough > 1e6 && to >= 120e6) {
    const found = NICE.find(each => each >= rough);
    if (found) return found;
  }
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map(n => n * power).find(each => each >= rough);
}
function ticks() {
  let step = niceStep((to - from) / Math.max(width() / 50, 1));
  for (;;) {
    const longest = pen.measureText(moment(to, step)).width + 16;
    if (step / (to - from) * width() >= longest || step >= to - from) break;
    step = niceStep(step * 1.01);
  }
  const found = [];
  for (let n = Math.ceil(from / step); n * step <= to; n++)
    found.push([n * step, moment(n * step, step, to)]);
  return found;
}
function drawAxis() {
  pen.fillStyle = ink.faint;
  pen.strokeStyle = ink.line;
  pen.textAlign = "center";
  let free = 2;
  for (const [tick, label] of ticks()) {
    const px = Math.round(x(tick)) + 0.5, half = pen.measureText(label).width / 2;
    pen.beginPath();
    pen.moveTo(px, AXIS - 4);
    pen.lineTo(px, high);
    pen.globalCompositeOperation = "destination-over"; // behind the tasks
    pen.stroke();
    pen.globalCompositeOperation = "source-over";
    const middle = Math.max(px, half + 2);
    if (middle - half < free || middle + half > wide - 2) continue;
    pen.fillText(label, middle, 9);
    free = middle + half + 8;
  }
}
function drawHill() {
  const top = AXIS + (isNarrow ? LINE : 0), bottom = AXIS + hill - 6;
  pen.textAlign = "left";
  pen.fillStyle = ink.faint;
  pen.fillText(waitingText(), EDGE, isNarrow ? AXIS + LINE / 2 : (top + bottom) / 2);
  if (mostWaiting) clipped([left, 0, wide - left, high], () => fillHill(bottom, bottom - top - 6));
}
function fillHill(bottom, size) {
  const scale = size / mostWaiting;
  pen.fillStyle = ink.wait;
  pen.beginPath();
  pen.moveTo(x(from), bottom);
  let n = 0, level = 0, last = x(from), peak = 0;
  for (; n < steps.length && steps[n][0] <= from; n++) level = steps[n][1];
  pen.lineTo(last, bottom - level * scale);
  for (; n < steps.length && steps[n][0] <= to; n++) {
    const px = x(steps[n][0]), count = steps[n][1];
    peak = Math.max(peak, count);
    if (px - last >= 0.5) { // what is closer is drawn as its highest
      pen.lineTo(px, bottom - level * scale);
      pen.lineTo(px, bottom - peak * scale);
      pen.lineTo(px, bottom - count * scale);
      last = px; peak = 0;
    }
    level = count;
  }
  pen.lineTo(x(to), bottom - level * scale);
  pen.lineTo(x(to), bottom);
  pen.fill();
}

// The lanes, of which those in sight are drawn.
function drawLanes() {
  const first = Math.max(Math.floor(frame.scrollTop / pitch), 0);
  const last = Math.min(Math.ceil((frame.scrollTop + high - below()) / pitch), lanes.length);
  clipped([0, below(), wide, high - below()], () => {
    for (let n = first; n < last; n++) drawName(n);
    clipped([left, below(), wide - left, high - below()], () => {
      for (let n = first; n < last; n++) drawLane(lanes[n], n);
      if (chosen) drawWait(chosen);
    });
  });
}
function drawName(number) {
  pen.textAlign = "left";
  pen.fillStyle = ink.text;
  const middle = y(number) + (isNarrow ? -LINE / 2 : HEIGHT / 2);
  const room = isNarrow ? wide - 2 * EDGE : left - 2 * EDGE;
  pen.fillText(shortened(data.lanes[number].label, room), EDGE, middle);
}
// Without its middle, if it is too long: the number is at the end.
function shortened(label, room) {
  if (pen.measureText(label).width <= room) return label;
  let kept = label.length - 2;
  const cut = () => label.slice(0, Math.ceil(kept / 2)) + "…" + label.slice(-Math.floor(kept / 2));
  while (kept > 3 && pen.measureText(cut()).width > room) kept--;
  return cut();
}
function firstVisible(number) {
  const reach = reaches[number];
  let low = 0, high = reach.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (reach[middle] < from) low = middle + 1; else high = middle;
  }
  return low;
}
function drawLane(lane, number) {
  const top = y(number);
  const bad = [];
  let last = -1, lastFn = -1;
  for (let n = firstVisible(number); n < lane.length; n++) {
    const task = lane[n];
    if (task[STARTED] > to) break;
    const begin = Math.max(x(task[STARTED]), left - 2);
    const end = Math.min(x(endOf(task)), wide);
    if (end - last < 0.4 && task[FN] === lastFn && !isBad(task)) continue;
    drawTask(task, begin, Math.max(end - begin, 0.8), top);
    if (isBad(task)) bad.push([begin, Math.max(end - begin, 3)]);
    last = Math.max(end, begin + 0.8); lastFn = task[FN];
  }
  pen.fillStyle = ink.bad; // last, as what follows at once would hide a short one
  for (const [begin, size] of bad) pen.fillRect(begin, top + HEIGHT - 4, size, 4);
}
const isBad = task => task[OUTCOME] === "failed";
// The colour of a task; others than the chosen one are paler.
function paint(task) {
  const full = colour(task[FN]);
  return chosen && chosen !== task ? mixed(full, ink.paper, 0.55) : full;
}
function drawTask(task, begin, size, top) {
  const fill = paint(task);
  pen.fillStyle = css(fill);
  pen.fillRect(begin, top, Math.max(size - (size > 3 ? 1 : 0), 0.8), HEIGHT);
  if (task === hover || task === chosen) {
    pen.strokeStyle = ink.text;
    pen.strokeRect(begin + 0.5, top + 0.5, Math.max(size - 1, 1), HEIGHT - 1);
  }
  if (size > 46) writeIn(task, fill, begin, size, top);
}
function writeIn(task, fill, begin, size, top) {
  const calls = task[COUNT] > 1 ? ` ×${task[COUNT]}` : "";
  pen.textAlign = "left";
  clipped([begin + 4, top, size - 8, HEIGHT], () => {
    pen.fillStyle = inkOn(fill);
    pen.fillText(data.functions[task[FN]].short + calls, begin + 6, top + HEIGHT / 2 + 0.5);
  });
}
function drawWait(task) {
  if (task[LANE] < 0) return;
  const low = y(task[LANE]) + HEIGHT - 5; // below the names
  const lines = [[task[SUBMITTED], task[QUEUED], ink.accent],
                 [task[QUEUED], task[SENT] ?? task[STARTED], ink.bad],
                 [task[SENT] ?? task[STARTED], task[STARTED], ink.text],
                 [task[ENDED], task[RETURNED], ink.text]];
  pen.lineWidth = 3;
  for (const [begin, end, shade] of lines) {
    if (begin === null || end === null) continue;
    pen.strokeStyle = shade;
    pen.beginPath();
    pen.moveTo(x(begin), low);
    pen.lineTo(x(end), low);
    pen.stroke();
  }
  pen.lineWidth = 1;
}
