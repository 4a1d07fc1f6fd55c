"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const element = id => document.getElementById(id);
const grids = data.grids;
const last = grids.steps.length - 1;
const AHEAD = 4;  // grids loaded on both sides of the current one
const FRAME = 140;  // milliseconds a grid while playing
const RELOAD = 20000;

let number = Math.max(0, last);  // the grid on the screen
let axis = "steps";  // or "seconds"
let playing = 0;  // counts up, which cancels an earlier play
let zoom = 0;
let plots = [];
let hovered = false;

function make(tag, text, parent) {
  const made = document.createElement(tag);
  made.textContent = text;
  parent.append(made);
  return made;
}

const count = value => value.toLocaleString("en");

function duration(seconds) {
  if (seconds < 100) return Math.round(seconds) + " s";
  if (seconds < 6000) return Math.floor(seconds / 60) + " min " + Math.round(seconds % 60) + " s";
  return Math.floor(seconds / 3600) + " h " + Math.round(seconds % 3600 / 60) + " min";
}

// The index of the entry of an ascending list that is nearest to a value.
function nearest(list, value) {
  let best = 0;
  list.forEach((entry, index) => {
    if (Math.abs(entry - value) < Math.abs(list[best] - value)) best = index;
  });
  return best;
}

// The grids -----------------------------------------------------------------------------------

const loaded = new Map();  // promises of pictures by their number

const file = index => "step_" + String(grids.steps[index]).padStart(7, "0") + ".png";

function load(index) {
  if (!loaded.has(index)) {
    const image = new Image();
    image.src = file(index);
    loaded.set(index, image.decode().then(() => image));
  }
  return loaded.get(index);
}

async function show() {
  const current = number;
  let image = null;
  try {
    image = await load(current);
  } catch {
    loaded.delete(current);
  }
  if (current !== number) return;  // the slider has moved on
  element("missing").hidden = image !== null;
  element("missing").textContent = file(current) + " cannot be read.";
  element("grid").style.visibility = image ? "" : "hidden";
  if (image) {
    element("grid").src = image.src;
    resize();
  }
  for (let other = current - AHEAD; other <= current + AHEAD; other++) {
    if (other >= 0 && other <= last) load(other).catch(() => loaded.delete(other));
  }
  for (const other of loaded.keys()) {
    if (Math.abs(other - current) > 3 * AHEAD) loaded.delete(other);
  }
}

function go(index) {
  if (last < 0) return;
  number = Math.min(last, Math.max(0, index));
  element("slider").value = number;
  const step = grids.steps[number];
  element("step").textContent = "step " + count(step);
  element("second").textContent = duration(grids.seconds[number]);
  element("epoch").textContent = "epoch " + grids.epochs[number].toFixed(1);
  element("slider").setAttribute("aria-valuetext", "step " + step);
  mark();
  remember();
  return show();
}

const wait = milliseconds => new Promise(done => setTimeout(done, milliseconds));

async function play() {
  const mine = ++playing;
  setPlaying(true);
  if (number === last) await go(0);
  while (mine === playing && number < last) {
    await Promise.all([wait(FRAME), load(number + 1).catch(() => null)]);
    if (mine === playing) await go(number + 1);
  }
  if (mine === playing) stop();
}

function stop() {
  playing++;
  setPlaying(false);
}

function setPlaying(is) {
  element("play").textContent = is ? "\u23F8\uFE0E" : "\u25B6\uFE0E";
  element("play").setAttribute("aria-label", is ? "pause" : "play");
  element("play").setAttribute("aria-pressed", is);
}

const isPlaying = () => element("play").getAttribute("aria-pressed") === "true";

// The size of the pictures: as wide as there is room, or one or two screen pixels a pixel.
const ZOOMS = ["fit", "1x", "2x"];

function resize() {
  for (const image of document.querySelectorAll(".picture img")) {
    if (!image.naturalWidth) continue;
    image.style.width = zoom ? zoom * image.naturalWidth + "px" : "100%";
    const pixels = image.getBoundingClientRect().width * devicePixelRatio;
    image.classList.toggle("shrunk", pixels < image.naturalWidth);
    image.parentElement.style.cursor = zoom === ZOOMS.length - 1 ? "zoom-out" : "zoom-in";
  }
  element("zoom").textContent = ZOOMS[zoom];
}

function nextZoom() {
  zoom = (zoom + 1) % ZOOMS.length;
  resize();
}

// The curves ----------------------------------------------------------------------------------

const LONG = [60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800];
const SECONDS = [1, 2, 5, 10, 20, 30, ...LONG, ...LONG.slice(-1).flatMap(day => [5 * day, 50 * day])];

function clock(seconds) {
  if (seconds >= 3600) return +(seconds / 3600).toFixed(2) + " h";
  return seconds >= 60 && seconds % 60 === 0 ? seconds / 60 + " min" : seconds + " s";
}

const end = () => Math.max(1, ...data.plots.map(plot => plot[axis].at(-1)), grids[axis].at(-1) || 0);

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// A tick of a logarithmic axis; between powers of ten the library gives null.
function power(value) {
  if (value == null) return "";
  return value >= 0.001 && value < 1e5 ? count(value) : value.toExponential(0).replace("+", "");
}

function options(plot, width) {
  const rule = { stroke: colour("--faint"), grid: { stroke: colour("--grid"), width: 1 },
    ticks: { stroke: colour("--grid"), width: 1 }, size: 36, font: "12px system-ui, sans-serif" };
  const series = [axis === "steps"
    ? { label: "step", value: (_, value) => value == null ? "" : count(Math.round(value)) }
    : { label: "time", value: (_, value) => value == null ? "" : duration(value) }];
  const bands = [];
  const colours = plot.series.map((each, index) => colour("--curve-" + (each.colour ?? index % 4)));
  plot.series.forEach((each, index) => {
    const stroke = colours[index];
    const value = (_, found) => found == null ? "" : String(+found.toPrecision(4));
    const points = { fill: colour("--paper") };
    series.push({ label: each.name, stroke, value, width: 1.5, spanGaps: true, points });
  });
  plot.series.forEach((each, index) => {
    if (!each.low) return;
    // The band lies between two invisible curves.
    const edge = { show: true, width: 0, points: { show: false }, spanGaps: true, class: "edge" };
    series.push({ ...edge, label: each.name + " 95 %" }, { ...edge, label: each.name + " 5 %" });
    const fill = colours[index] + "26";
    bands.push({ series: [series.length - 2, series.length - 1], fill });
  });
  let whole = true;  // whether the whole run is shown
  const x = {
    time: false,
    range: (_, low, high) => {
      // Zoomed out, every plot spans the whole run, so that times line up.
      whole = low == null || low === plot[axis][0] && high === plot[axis].at(-1)
        || low <= 0 && high >= end();
      return whole ? [0, end()] : [low, high];
    },
  };
  const y = plot.is_logarithmic ? { distr: 3 } : {
    range: (_, low, high) => {
      if (plot.limits && whole) return plot.limits;
      return low == null || low === 0 && high === 0 ? [0, 1] : uPlot.rangeNum(low, high, 0.1, true);
    },
  };
  return {
    width, height: 180, series, bands,
    scales: { x, y },
    axes: [
      axis === "steps"
        ? { ...rule, values: (_, ticks) => ticks.map(tick => tick == null ? "" : count(tick)), space: 70 }
        : { ...rule, values: (_, ticks) => ticks.map(clock), space: 50, incrs: SECONDS },
      plot.is_logarithmic ? { ...rule, size: 58, values: (_, ticks) => ticks.map(power) }
        : { ...rule, size: 58 },
    ],
    cursor: { y: false, drag: { x: true, y: false }, sync: { key: "run", scales: ["x", null] } },
    hooks: { setScale: [(u, key) => key === "x" && queueMicrotask(mark)] },
  };
}

function columns(plot) {
  const edges = plot.series.filter(each => each.low).flatMap(each => [each.high, each.low]);
  return [plot[axis], ...plot.series.map(each => each.values), ...edges];
}

function draw() {
  for (const plot of plots) plot.destroy();
  plots = data.plots.map((plot, index) => {
    const place = element("plots").children[index];
    const made = new uPlot(options(plot, place.clientWidth), columns(plot), place);
    for (const alarm of data.alarms || []) line(made, "alarm").dataset.step = alarm.step;
    line(made, "here");
    const over = made.over;
    over.addEventListener("click", event => {
      stop();
      go(nearest(grids[axis], made.posToVal(event.clientX - over.getBoundingClientRect().left, "x")));
    });
    over.addEventListener("pointerenter", event => { hovered = event.pointerType === "mouse"; });
    over.addEventListener("pointerleave", () => {
      hovered = false;
      requestAnimationFrame(mark);  // after the library has removed its cursor
    });
    return made;
  });
  mark();
}

function line(plot, name) {
  const made = make("div", "", plot.over);
  made.className = name;
  return made;
}

// Moves the slider's line in every plot, and shows the numbers there in the legends.
function mark() {
  if (last < 0) return;
  for (const plot of plots) {
    const at = value => {
      const left = plot.valToPos(value, "x");
      return left >= 0 && left <= plot.over.clientWidth ? left : null;
    };
    const lines = [[plot.over.querySelector(".here"), grids[axis][number]]];
    for (const alarm of plot.over.querySelectorAll(".alarm")) {
      lines.push([alarm, grids[axis][nearest(grids.steps, +alarm.dataset.step)]]);
    }
    for (const [each, value] of lines) {
      if (!each) continue;
      each.hidden = at(value) === null;
      each.style.left = at(value) + "px";
    }
    if (!hovered) plot.setCursor({ left: at(grids[axis][number]) ?? -10, top: 10 }, true, false);
  }
}

function setAxis(name) {
  axis = name;
  for (const choice of document.getElementsByName("axis")) choice.checked = choice.value === name;
  draw();
  remember();
}

// What the address keeps over a reload -----------------------------------------------------------

let planned = 0;

function remember() {
  clearTimeout(planned);
  planned = setTimeout(() => {
    const kept = new URLSearchParams();
    if (number < last) kept.set("step", grids.steps[number]);
    if (axis !== "steps") kept.set("axis", axis);
    if (element("follow").firstChild.checked) kept.set("follow", 1);
    // An empty one would jump to the top of the page.
    const hash = "#" + (kept.toString() || "newest");
    if (location.hash !== hash && (location.hash || kept.size)) location.replace(hash);
  }, 400);
}

function follow() {
  remember();
  setTimeout(() => {
    if (!element("follow").firstChild.checked) return;
    if (isPlaying() || !element("explorer").querySelector("iframe").hidden) follow();
    else location.reload();
  }, RELOAD);
}

// The words -----------------------------------------------------------------------------------

function rows(table, pairs) {
  for (const cells of pairs) {
    const row = make("tr", "", table);
    cells.forEach((text, index) => make(index ? "td" : "th", text, row));
  }
}

function describe() {
  document.title = data.name + " - GANdam";
  element("name").textContent = data.name;
  const reached = Math.max(data.last.step, grids.steps.at(-1) || 0);
  element("state").textContent = data.method + ", " + (data.is_running ? "in training" : "stopped") +
    " at step " + count(reached) + (data.last.seconds ? " after " + duration(data.last.seconds) : "") +
    "; written " + data.written;

  if (data.alarms) {
    element("alarms").hidden = false;
    element("alarms").querySelector(".watched").textContent = data.watched || "";
    for (const alarm of data.alarms) {
      const item = make("li", "", element("alarms").querySelector("ul"));
      item.className = alarm.level === "error" ? "error" : "warning";
      make("b", alarm.level, item);
      item.append(" since ");
      const since = make("button", "step " + count(alarm.step), item);
      since.addEventListener("click", () => { stop(); go(nearest(grids.steps, alarm.step)); });
      item.append(": " + alarm.message + ". ");
      make("span", alarm.advice + ".", item);
    }
  }

  const picture = (id, source) => {
    element(id).hidden = false;
    element(id).querySelector("img").addEventListener("load", resize);
    element(id).querySelector("img").src = source;
  };
  if (data.pictures.reals) picture("reals", data.pictures.reals);
  if (data.pictures.best_worst) picture("best-worst", data.pictures.best_worst);
  element("best").hidden = !data.best && !data.pictures.best_worst;
  if (data.best) {
    const { step, ...scores } = data.best;
    element("best-score").hidden = false;
    element("best-score").append("The best networks so far are of ");
    const button = make("button", "step " + count(step), element("best-score"));
    button.addEventListener("click", () => { stop(); go(nearest(grids.steps, step)); });
    const texts = Object.entries(scores).map(([name, value]) => name + " " + +value.toPrecision(4));
    element("best-score").append(": " + texts.join(", ") + ".");
  }

  element("explorer").hidden = !data.explorers.length;
  for (const [name, text] of data.explorers) {
    const item = make("li", "", element("explorer").querySelector("ul"));
    make("a", text, item).href = name;
    // Only on request: it is far larger than this page.
    make("button", "open here", item).addEventListener("click", () => {
      const frame = element("explorer").querySelector("iframe");
      frame.hidden = false;
      frame.src = name;
    });
  }

  const constant = Object.entries(data.constant || {}).map(([name, value]) => name + " " + +value.toPrecision(4));
  element("constant").hidden = !constant.length;
  element("constant").textContent = "Constant so far: " + constant.join(", ");
  rows(element("facts"), data.facts);
  element("command").textContent = data.command;
  element("resumed").hidden = !data.resumed;
  const differing = data.options.filter(each => each.differs);
  const others = data.options.filter(each => !each.differs);
  element("differing").hidden = !differing.length;
  rows(element("differing").querySelector("table"),
    differing.map(each => [each.option, each.value, "(" + each.default + ")"]));
  element("defaults").querySelector("summary").textContent = others.length + " options at their defaults";
  rows(element("defaults").querySelector("table"), others.map(each => [each.option, each.value]));
  for (const [name, text] of data.links) {
    const link = make("a", text, element("links"));
    link.href = name;
    link.title = name;
  }
}

// ---------------------------------------------------------------------------------------------

function listen() {
  element("slider").max = Math.max(0, last);
  element("slider").addEventListener("input", event => { stop(); go(+event.target.value); });
  element("play").addEventListener("click", () => isPlaying() ? stop() : play());
  element("zoom").addEventListener("click", nextZoom);
  for (const picture of document.querySelectorAll(".picture")) {
    picture.addEventListener("click", nextZoom);
  }
  for (const choice of document.getElementsByName("axis")) {
    choice.addEventListener("change", () => setAxis(choice.value));
  }
  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const on = event.target;
    // Buttons and choices use these keys themselves.
    if (on.name === "axis" || event.key === " " && on.matches("button, summary, [type=checkbox]")) return;
    const steps = event.shiftKey ? 10 : 1;
    const places = { ArrowLeft: number - steps, ArrowRight: number + steps, Home: 0, End: last };
    if (event.key in places) {
      stop();
      go(places[event.key]);
    } else if (event.key === " ") {
      isPlaying() ? stop() : play();
    } else {
      return;
    }
    event.preventDefault();
  });
  element("follow").hidden = !data.is_running;
  element("follow").firstChild.addEventListener("change", follow);
  new ResizeObserver(() => {
    plots.forEach((plot, index) => {
      const width = element("plots").children[index].clientWidth;
      if (width && width !== plot.width) plot.setSize({ width, height: plot.height });
    });
    resize();
    requestAnimationFrame(mark);
  }).observe(element("plots"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}

function start() {
  const kept = new URLSearchParams(location.hash.slice(1));
  describe();
  listen();
  for (const plot of data.plots) {
    const place = make("div", "", element("plots"));
    place.className = "plot";
    make("h3", plot.label, place);
  }
  element("no-curves").hidden = data.plots.length > 0;
  document.querySelector(".choice").hidden = !data.plots.length;
  setPlaying(false);
  resize();
  setAxis(kept.get("axis") === "seconds" ? "seconds" : "steps");
  element("follow").firstChild.checked = kept.has("follow") && data.is_running;
  if (element("follow").firstChild.checked) follow();
  go(kept.has("step") ? nearest(grids.steps, +kept.get("step")) : last);
}

start();
