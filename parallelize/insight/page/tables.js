// The tables and the legend; and the first picture.

function text(tag, content, name = "") {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (content instanceof Node) element.append(content); else element.textContent = content;
  return element;
}
function mark(shade, label) {
  const whole = document.createElement("span"), square = text("i", "", "mark");
  square.style.background = shade;
  whole.append(square, label);
  return whole;
}
function table(heads, rows) {
  const whole = document.createElement("table");
  fill(whole, "", heads, rows);
  return whole;
}
function fill(whole, caption, heads, rows) {
  if (caption) whole.append(text("caption", caption));
  if (heads.length) {
    const head = whole.createTHead().insertRow();
    for (const each of heads) head.append(headCell(each, "col"));
  }
  const body = whole.createTBody();
  for (const [name, ...cells] of rows)
    body.insertRow().append(headCell(name, "row"), ...cells.map(cell => text("td", cell)));
}
function headCell(content, scope) {
  const cell = text("th", content);
  cell.scope = scope;
  return cell;
}

const KINDS = [["pickling", "#8f7ae5", "pickling"],
               ["held", "#2f6fde", "for arguments or a limit"],
               ["waited", "#b9c2cf", "for a worker"],
               ["moved", "#e0973a", "on the way"],
               ["ran", "#3fa463", "running"]];
function bar(each) {
  const whole = KINDS.reduce((sum, [kind]) => sum + each[kind], 0) || 1;
  const made = text("div", "", "bar"), shares = [];
  for (const [kind, shade, label] of KINDS) {
    const part = document.createElement("span"), share = each[kind] / whole * 100;
    part.style.width = share + "%";
    part.style.background = shade;
    made.append(part);
    shares.push(`${label} ${share.toFixed(0)} %`);
  }
  made.setAttribute("role", "img");
  made.setAttribute("aria-label", made.title = shares.join(", "));
  return made;
}
const named = (fn, n) => mark(css(colour(n)), fn.name);

at("head").textContent = data.head;
at("advice").textContent = data.advice;
fill(at("functions"), "Sums over all calls of each function, in any worker",
  ["function", "calls", "tasks", "failed", "ran", "a call", "longest", "bytes in", "bytes out"],
  data.functions.map((fn, n) => [named(fn, n), fn.calls, fn.tasks,
    text("span", fn.failed, fn.failed ? "bad" : ""), seconds(fn.ran),
    seconds(fn.ran / Math.max(fn.calls, 1)), seconds(fn.longest), bytes(fn.size),
    bytes(fn.answer)]));
fill(at("waits"), "Where the tasks of each function were, from submission to return",
  ["function", "share of it all", ...KINDS.map(([, shade, label]) => mark(shade, label))],
  data.functions.map((fn, n) => [named(fn, n), bar(fn),
    ...KINDS.map(([kind]) => seconds(fn[kind]))]));
fill(at("lanes"), "How long each worker ran tasks",
  ["worker", "ran", "busy", "tasks"],
  data.lanes.map((lane, n) => [lane.label, seconds(lane.busy),
    (100 * lane.share).toFixed(0) + " %", lanes[n].length]));
at("legend").append(...data.functions.map((fn, n) => text("li", named(fn, n))));
lay();
