"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const element = id => document.getElementById(id);
const SEEDS = 2 ** 32;

function make(tag, text, parent) {
  const made = document.createElement(tag);
  made.textContent = text;
  parent.append(made);
  return made;
}

// A vector is a latent vector and, after it, the weights of the classes, where there are classes.

// The latent part with the weights of a class, by its number: 1 for it and 0 for the others.
function ofClass(vector, label) {
  const found = new Float32Array(data.latent_dim + data.classes.length);
  found.set(vector.subarray(0, data.latent_dim));
  if (data.classes.length) found[data.latent_dim + label] = 1;
  return found;
}

function seeded() {
  const latent = normal(data.latent_dim, seedInField(), +element("truncation").value);
  return ofClass(latent, element("class").selectedIndex);
}

// Between two vectors: an arc of latent vectors, an even mixture of classes.
function between(start, end, t) {
  const mixed = start.map((x, i) => (1 - t) * x + t * end[i]);
  mixed.set(slerp(start.subarray(0, data.latent_dim), end.subarray(0, data.latent_dim), t));
  return mixed;
}

// Latent vectors as text ------------------------------------------------------------------------

// For an address: the bytes of the numbers, in base64 with letters that have no meaning there.
function spell(latent) {
  const bytes = String.fromCharCode(...new Uint8Array(latent.buffer));
  return btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

// The latent vector of such a text; null if it is damaged.
function unspell(text) {
  try {
    const bytes = fromBase64(text.replaceAll("-", "+").replaceAll("_", "/"));
    const latent = new Float32Array(bytes.buffer);
    return latent.length === data.latent_dim + data.classes.length && latent.every(Number.isFinite) ? latent : null;
  } catch {
    return null;
  }
}

function fromBase64(text) {
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes;
}

// The generator ---------------------------------------------------------------------------------

let session = null;

function unpack(id) {
  const packed = new Blob([fromBase64(element(id).textContent)]);
  return new Response(packed.stream().pipeThrough(new DecompressionStream("gzip")));
}

async function load() {
  const lacking = ["WebAssembly", "DecompressionStream"].filter(name => !(name in globalThis));
  if (lacking.length) {
    throw new Error("This browser lacks " + lacking.join(" and ") + ", with which the generator " +
      "runs. Firefox 113, Safari 16.4, Chrome and Edge 97 and later versions have both.");
  }
  const parts = ["loader", "runtime", "model"].map(id => unpack(id).arrayBuffer());
  const [loader, runtime, model] = await Promise.all(parts);
  const address = (part, type) => URL.createObjectURL(new Blob([part], { type }));
  const [mjs, wasm] = [address(loader, "text/javascript"), address(runtime, "application/wasm")];
  // With env.wasm.wasmBinary, the loader would look for its own folder, which a blob lacks.
  ort.env.wasm.wasmPaths = { mjs, wasm };
  // More threads need headers from a server.
  ort.env.wasm.numThreads = 1;
  session = await ort.InferenceSession.create(new Uint8Array(model), { executionProviders: ["wasm"] });
  [mjs, wasm].forEach(URL.revokeObjectURL);
  for (const id of ["loader", "runtime", "model"]) element(id).remove();
}

// The image of a vector, for a canvas.
async function generate(vector) {
  const tensor = part => new ort.Tensor("float32", part, [1, part.length]);
  const inputs = { latents: tensor(vector.slice(0, data.latent_dim)) };
  if (data.classes.length) inputs.classes = tensor(vector.slice(data.latent_dim));
  const { images } = await session.run(inputs);
  const image = new ImageData(data.width, data.height);
  for (let from = 0, to = 0; from < images.data.length; from += data.channels, to += 4) {
    const pixel = image.data.subarray(to, to + 4);
    // Storing rounds and clips; NaN becomes grey.
    for (let channel = 0; channel < 4; channel++) {
      pixel[channel] = ((images.data[from + channel % data.channels] || 0) + 1) * 127.5;
    }
    if (data.channels < 4) pixel[3] = 255;
    // The generator's colours are premultiplied.
    for (let channel = 0; channel < 3 && pixel[3] < 255; channel++) {
      pixel[channel] = pixel[3] && pixel[channel] * 255 / pixel[3];
    }
  }
  return image;
}

// What is shown ---------------------------------------------------------------------------------

let requested = null;  // the latent vector to draw, a new array each time
let shown = null;  // the latent vector on the canvas
let origin = "";  // where the requested one comes from, in words
let unchanged = null;  // what Reset goes back to
let drawing = null;  // a promise while drawing

// Draws the requested latent vector. Of several requests while drawing, only the latest is drawn.
function draw() {
  if (session && !drawing && shown !== requested) drawing = drawLatest();
  return drawing;
}

async function drawLatest() {
  try {
    while (shown !== requested) await drawRequested();
  } catch (error) {
    complain(error);
  } finally {
    drawing = null;  // in the same turn as the last look at the request
  }
}

async function drawRequested() {
  const [latent, words] = [requested, origin];
  const start = performance.now();
  const image = await generate(latent);
  const milliseconds = performance.now() - start;
  element("canvas").getContext("2d").putImageData(image, 0, 0);
  element("canvas").setAttribute("aria-label", "generated from " + words);
  element("origin").textContent = words;
  element("took").textContent = "drawn in " + milliseconds.toFixed(milliseconds < 10 ? 1 : 0) + " ms";
  shown = latent;
  await new Promise(done => setTimeout(done));  // a turn for fingers and keys
}

function complain(error) {
  element("problem").hidden = false;
  element("problem").textContent = error.message || String(error);
  element("origin").textContent = "";
}

// Requests a latent vector, and moves the sliders to it.
function show(latent, words, isChange = false) {
  requested = latent;
  origin = words;
  const classes = latent.subarray(data.latent_dim);
  if (classes.length) element("class").selectedIndex = classes.indexOf(Math.max(...classes));
  if (!isChange) unchanged = { latent, words };
  element("reset").disabled = !isChange;
  for (const slider of element("sliders").querySelectorAll("input")) place(slider);
  remember();
  return draw();
}

function showSeed(seed) {
  const truncation = +element("truncation").value;
  element("seed").value = seed;
  const words = data.classes.length ? data.classes[element("class").selectedIndex] + ", " : "";
  return show(seeded(), words + "seed " + seed + (truncation ? ", truncation " + truncation : ""));
}

// The seed in the field as a whole number of 32 bits, whatever has been typed there.
function seedInField() {
  const seed = Math.trunc(+element("seed").value);
  return Math.min(SEEDS - 1, Math.max(0, seed || 0));
}

function place(slider) {
  const value = requested[slider.dataset.dimension];
  slider.value = value;
  const text = value.toFixed(2);
  slider.setAttribute("aria-valuetext", text);
  slider.parentElement.querySelector("output").textContent = text;
}

function change(slider) {
  const latent = requested.slice();
  latent[slider.dataset.dimension] = slider.value;
  show(latent, unchanged.words + ", changed", true);
}

// Favourites ------------------------------------------------------------------------------------

const favourites = [];  // { name, latent, canvas }
const ends = [null, null];  // the favourites that the way leads from and to
let kept = 0;

async function keep() {
  await draw();  // keep what can be seen
  if (!shown) return;
  const canvas = document.createElement("canvas");
  copy(element("canvas"), canvas);
  add("favourite " + ++kept, shown, canvas);
}

function add(name, latent, canvas) {
  const favourite = { name, latent, canvas };
  favourites.push(favourite);
  const free = ends.indexOf(null);
  if (free >= 0) ends[free] = favourite;
  list();
}

// Those that the page has from the start.
async function addSaved() {
  for (const [name, text] of data.favourites) {
    const [latent, canvas] = [unspell(text), document.createElement("canvas")];
    [canvas.width, canvas.height] = [data.width, data.height];
    while (drawing) await drawing;  // the network computes one picture at a time
    drawing = generate(latent).finally(() => { drawing = null; });
    canvas.getContext("2d").putImageData(await drawing, 0, 0);
    add(name, latent, canvas);
    draw();
  }
}

function copy(from, to) {
  [to.width, to.height] = [data.width, data.height];
  to.getContext("2d").drawImage(from, 0, 0);
}

function list() {
  const focused = document.activeElement?.getAttribute("aria-label");
  element("kept").replaceChildren();
  for (const favourite of favourites) {
    const name = favourite.name;
    const item = make("li", "", element("kept"));
    const button = (text, label, parent, action) => {
      const made = make("button", text, parent);
      made.setAttribute("aria-label", label);
      made.addEventListener("click", action);
      return made;
    };
    const picture = button("", "show " + name, item, () => show(favourite.latent, name));
    picture.className = "show";
    picture.title = name;
    picture.append(favourite.canvas);
    const row = make("div", "", item);
    row.className = "row";
    ["A", "B"].forEach((letter, end) => {
      const choice = button(letter, name + " as " + letter, row, () => {
        // Both ends at one favourite would be no way: swap them.
        if (ends[1 - end] === favourite) ends[1 - end] = ends[end];
        ends[end] = favourite;
        list();
      });
      choice.setAttribute("aria-pressed", ends[end] === favourite);
    });
    button("\u00d7", "remove " + name, row, () => {
      favourites.splice(favourites.indexOf(favourite), 1);
      for (const end of [0, 1]) {
        if (ends[end] !== favourite) continue;
        ends[end] = favourites.find(each => each !== ends[1 - end]) ?? null;
      }
      list();
    });
  }
  if (focused) [...document.querySelectorAll("#kept button")]
    .find(each => each.getAttribute("aria-label") === focused)?.focus();
  element("no-favourites").hidden = favourites.length > 1;
  element("way").hidden = ends.includes(null);
  if (ends.includes(null)) return;
  ["from", "to"].forEach((id, end) => {
    copy(ends[end].canvas, element(id));
    element(id).setAttribute("aria-label", ends[end].name);
  });
  element("share").setAttribute("aria-label",
    "way from " + ends[0].name + " to " + ends[1].name);
}

function go() {
  const t = +element("share").value;
  const percent = Math.round(100 * t) + " %";
  element("share").setAttribute("aria-valuetext", percent);
  show(between(ends[0].latent, ends[1].latent, t),
    ends[0].name + " to " + ends[1].name + ", " + percent);
}

// State in the address, which survives a reload -------------------------------------------------

let planned = 0;
let written = "";  // by this page, not by a person

function remember() {
  clearTimeout(planned);
  planned = setTimeout(() => {
    const kept = new URLSearchParams();
    kept.set("seed", seedInField());
    if (+element("truncation").value) kept.set("truncation", element("truncation").value);
    if (element("class").selectedIndex > 0) kept.set("class", element("class").value);
    const usual = seeded();
    if (requested.some((x, i) => x !== usual[i])) kept.set("latent", spell(requested));
    // Not into the history, where each move of a slider would be an entry.
    written = "#" + kept;
    if (location.hash !== written) location.replace(written);
  }, 400);
}

function recall() {
  const kept = new URLSearchParams(location.hash.slice(1));
  element("truncation").value = kept.get("truncation");
  element("truncation").value ||= "0";  // it was none of the choices
  element("class").selectedIndex = Math.max(0, data.classes.indexOf(kept.get("class")));
  element("seed").value = kept.get("seed");
  element("seed").value = seedInField();
  const latent = unspell(kept.get("latent") ?? "");
  return latent ? show(latent, "the address") : showSeed(seedInField());
}

// ---------------------------------------------------------------------------------------------

function describe() {
  document.title = data.name + ": explorer - GANdam";
  element("name").textContent = data.name;
  element("what").textContent = "The generator: " + data.what + "; " + data.latent_dim +
    " latent dimensions, " + (data.classes.length ? data.classes.length + " classes, " : "") +
    "pictures of " + data.width + " px";
  element("classes").hidden = !data.classes.length;
  for (const name of data.classes) make("option", name, element("class"));
  element("dimensions").textContent = data.latent_dim;
  element("behind").hidden = data.channels < 4;
  element("back").hidden = !data.page || parent !== window;
  if (data.page) element("back").firstChild.href = data.page;
  [element("canvas").width, element("canvas").height] = [data.width, data.height];
  for (const [number, change] of data.dimensions) {
    const row = make("div", "", element("sliders"));
    row.className = "slider";
    const label = make("label", "dimension " + number + " (" + change.toFixed(1) + ")", row);
    label.htmlFor = "dimension-" + number;
    make("output", "", row).htmlFor = label.htmlFor;
    const slider = make("input", "", row);
    Object.assign(slider, { id: label.htmlFor, type: "range", min: -3, max: 3, step: 0.05 });
    slider.dataset.dimension = number;
  }
}

function listen() {
  element("random").addEventListener("click", () => showSeed(Math.floor(Math.random() * 1e6)));
  element("seed").addEventListener("change", () => showSeed(seedInField()));
  element("truncation").addEventListener("change", () => showSeed(seedInField()));
  element("background").addEventListener("change", event => {
    document.documentElement.style.setProperty("--behind", event.target.value);
  });
  element("class").addEventListener("change", () => {
    const name = element("class").value;
    show(ofClass(requested, element("class").selectedIndex), unchanged.words + ", as " + name, true);
  });
  element("reset").addEventListener("click", () => show(unchanged.latent, unchanged.words));
  element("keep").addEventListener("click", keep);
  element("share").addEventListener("input", go);
  element("sliders").addEventListener("input", event => change(event.target));
  addEventListener("hashchange", () => location.hash === written || recall());
  element("licences").addEventListener("toggle", async () => {
    const place = element("licences").querySelector("pre");
    if (!place.textContent) place.textContent = await unpack("notices").text();
  }, { once: true });
}

// Some errors inside the loader reach nobody else.
addEventListener("unhandledrejection", event => complain(event.reason));
describe();
listen();
recall();
load().then(draw).then(addSaved).catch(complain);
