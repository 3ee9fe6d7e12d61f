"use strict";
// The data, and how moments, durations, sizes and colours are written.

const data = JSON.parse(document.getElementById("data").textContent);
const at = id => document.getElementById(id);

// A task is a list: html.py writes its items in this order.
const [LANE, FN, SUBMITTED, PICKLED, QUEUED, SENT, STARTED, ENDED, RETURNED,
       COUNT, SIZE, ANSWER, OUTCOME] = Array(13).keys();

const UNITS = [[1e6, "s"], [1e3, "ms"], [1, "µs"]];
const LONG = [[86400, "d", 3600, "h"], [3600, "h", 60, "min"], [60, "min", 1, "s"]];

// A duration: three digits, or two units.
function seconds(micros) {
  if (micros === null) return "";
  if (micros === 0) return "0";
  const size = Math.abs(micros);
  for (const [unit, name, rest, restName] of LONG) {
    const shown = Math.round(size / 1e6 / rest) * rest;
    if (shown < 2 * unit) continue;
    const left = Math.floor(shown % unit / rest);
    return `${Math.floor(shown / unit)} ${name}${left ? ` ${left} ${restName}` : ""}`;
  }
  const [unit, name] = UNITS.find(([unit]) => size >= unit * 0.9995) ?? UNITS[2];
  return `${+(micros / unit).toPrecision(3)} ${name}`;
}
// A moment, with as many digits as tell it from another that is `step` away, in the unit
// that suits `most`.
function moment(micros, step, most = micros) {
  if (micros === 0) return "0";
  const size = Math.max(most, step);
  if (size >= 120e6) return clock(micros, decimals(step, 1e6));
  const [unit, name] = UNITS.find(([unit]) => size >= unit) ?? UNITS[2];
  return `${(micros / unit).toFixed(decimals(step, unit))} ${name}`;
}
const decimals = (step, unit) =>
  Math.min(Math.max(Math.ceil(-Math.log10(step / unit) - 1e-9), 0), 9);
function clock(micros, digits) {
  const whole = +(micros / 1e6).toFixed(digits);
  const hours = Math.floor(whole / 3600), minutes = Math.floor(whole % 3600 / 60);
  const rest = (whole - hours * 3600 - minutes * 60).toFixed(digits);
  const padded = rest.padStart(digits ? digits + 3 : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${padded}`
               : `${minutes}:${padded}`;
}
function bytes(count) {
  for (const [power, name] of [[40, "TiB"], [30, "GiB"], [20, "MiB"], [10, "KiB"]])
    if (count >= 2 ** power) return `${+(count / 2 ** power).toPrecision(3)} ${name}`;
  return `${count} B`;
}

// Colours as [red, green, blue] from 0 to 255.
const HUES = [212, 28, 145, 275, 350, 180, 48, 315, 95, 240];
function colour(fn) {
  const hue = HUES[fn % HUES.length], light = fn % 20 < HUES.length ? 0.56 : 0.42;
  const spread = 0.62 * Math.min(light, 1 - light);
  return [0, 8, 4].map(shift => {
    const k = (shift + hue / 30) % 12;
    return 255 * (light - spread * Math.max(-1, Math.min(k - 3, 9 - k, 1)));
  });
}
const css = rgb => `rgb(${rgb.map(Math.round).join(" ")})`;
const mixed = (one, other, share) => one.map((part, n) => part * share + other[n] * (1 - share));
function luminance(rgb) {
  const [red, green, blue] = rgb.map(part =>
    part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
// Black or white: the one with more contrast, which is at least 4.5 on any colour.
const inkOn = rgb => (luminance(rgb) > 0.179 ? "#000" : "#fff");
