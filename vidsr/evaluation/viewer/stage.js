/* The viewer: two versions of one frame on a canvas with a divider between them, and curves beside it.
 *
 * Coordinates. "Picture": pixels of the enlarged frame. "Screen": pixels of the canvas, which are those of
 * the device. The view is a scale (screen pixels a picture pixel) and the picture's point in the middle. */

const data = JSON.parse(document.getElementById("data").textContent);
const element = (id) => document.getElementById(id);
const clamp = (value, least, most) => Math.min(Math.max(value, least), most);

const viewer = element("viewer");
const stage = element("stage");
const canvas = element("canvas");
const context = canvas.getContext("2d");
const divider = element("divider");
const selects = [element("left"), element("right")];
const tags = [element("left-tag"), element("right-tag")];

const LARGEST = 32; // screen pixels a picture pixel: single pixels are as large as a fingertip
const STEPS = [0.125, 0.25, 0.5, 1, 2, 4, 8, 16, LARGEST];
const LOOK = 8; // what a double click zooms to

const view = {
  moment: 0,
  pair: [...data.pair],
  split: 0.5, // share of the stage's width that the left picture has
  scale: null, // null: as large as the whole picture fits
  x: data.width / 2,
  y: data.height / 2,
  held: false,
  pointer: null, // screen position of the mouse over the stage
  point: null, // index of a chosen time of the curves; null: that of the frame on show
};

const followers = []; // called when another frame is shown

// Pictures -----------------------------------------------------------------------------------------

const decoded = new Map();

/* The picture of a version of the present moment; null while it is being decoded. */
function picture(version) {
  const entry = data.moments[view.moment].pictures[version];
  const key = `${view.moment} ${version}`;
  if (!decoded.has(key)) {
    const image = new Image();
    const slot = { image: null };
    decoded.set(key, slot);
    image.src = entry.source;
    image.decode().then(() => {
      slot.image = image;
      redraw();
    });
  }
  const { image } = decoded.get(key);
  return image && { image, rect: entry.rect };
}

/* Only pictures of the present moment stay decoded: a frame of 4K takes 33 MB. */
function forgetOthers() {
  for (const key of decoded.keys()) {
    if (!key.startsWith(`${view.moment} `)) decoded.delete(key);
  }
}

// The view -----------------------------------------------------------------------------------------

const window_ = () => data.moments[view.moment].window;

function fitScale() {
  const [, , width, height] = window_();
  return Math.min(canvas.width / (width * data.aspect), canvas.height / height);
}

const scale = () => view.scale ?? fitScale();

/* Screen position of the picture's origin; the picture stays over the stage, or in its middle. */
function origin() {
  const [left, top, width, height] = window_();
  const s = scale();
  const place = (centre, start, length, unit, room) => {
    const half = room / 2 / unit;
    const middle = length * unit <= room ? start + length / 2 : clamp(centre, start + half, start + length - half);
    return [middle, Math.round(room / 2 - middle * unit)];
  };
  const [x, ox] = place(view.x, left, width, s * data.aspect, canvas.width);
  const [y, oy] = place(view.y, top, height, s, canvas.height);
  view.x = x;
  view.y = y;
  return [ox, oy];
}

function toPicture(sx, sy) {
  const [ox, oy] = origin();
  const s = scale();
  return [(sx - ox) / (s * data.aspect), (sy - oy) / s];
}

/* Change the scale so that what is at a screen position stays there; beyond fitting it is null. */
function zoomTo(wanted, sx = canvas.width / 2, sy = canvas.height / 2) {
  const [px, py] = toPicture(sx, sy);
  const fit = fitScale();
  view.scale = wanted <= fit * 1.001 ? null : Math.min(wanted, LARGEST);
  const s = scale();
  view.x = px + (canvas.width / 2 - sx) / (s * data.aspect);
  view.y = py + (canvas.height / 2 - sy) / s;
  redraw();
}

function zoomStep(direction) {
  const now = scale();
  const steps = STEPS.filter((step) => (direction > 0 ? step > now * 1.01 : step < now * 0.99));
  zoomTo(direction > 0 ? (steps[0] ?? LARGEST) : (steps.at(-1) ?? 0));
}

function pan(dx, dy) {
  const s = scale();
  view.x -= dx / (s * data.aspect);
  view.y -= dy / s;
  redraw();
}

function setSplit(share) {
  view.split = clamp(share, 0, 1);
  redraw();
}

// Drawing ------------------------------------------------------------------------------------------

let waiting = false;

function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    draw();
  });
}

function draw() {
  const pictures = view.pair.map(picture);
  const [ox, oy] = origin();
  const s = scale();
  const cut = view.held ? canvas.width : Math.round(view.split * canvas.width);
  context.clearRect(0, 0, canvas.width, canvas.height);
  drawSide(pictures[0], ox, oy, s, 0, cut);
  drawSide(pictures[1], ox, oy, s, cut, canvas.width);

  divider.style.left = `${view.split * 100}%`;
  const share = Math.round(view.split * 100);
  divider.setAttribute("aria-valuenow", share);
  divider.setAttribute("aria-valuetext", `${share} % left: ${name(0)}, the rest: ${name(1)}`);
  stage.classList.toggle("zoomed", view.scale !== null);
  stage.classList.toggle("held", view.held);
  element("zoom").textContent = `${percent(s)} %`;
  element("zoom-fit").setAttribute("aria-pressed", view.scale === null);
  readOut(pictures);
  stage.toggleAttribute("data-ready", pictures.every(Boolean));
}

const percent = (s) => Math.round(s * 100);

/* One picture between two columns of the screen, and inside of the part of the frame that is here. */
function drawSide(shown, ox, oy, s, from, to) {
  if (!shown || to <= from) return;
  const [left, top, width, height] = window_();
  const a = s * data.aspect;
  const [x, y, w, h] = shown.rect;
  const unit = (s * w) / shown.image.naturalWidth; // screen pixels a pixel of this very picture
  context.save();
  context.beginPath();
  context.rect(from, 0, to - from, canvas.height);
  context.clip();
  context.beginPath();
  context.rect(ox + left * a, oy + top * s, width * a, height * s);
  context.clip();
  // Pixels are shown as squares once they are large enough to be seen, or map to whole ones.
  context.imageSmoothingEnabled = unit < 2 && unit !== 1;
  context.imageSmoothingQuality = "high";
  context.drawImage(shown.image, ox + x * a, oy + y * s, w * a, h * s);
  context.restore();
}

const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });

function colourAt({ image, rect }, px, py) {
  const [x, y, w, h] = rect;
  const column = clamp(Math.floor(((px - x) / w) * image.naturalWidth), 0, image.naturalWidth - 1);
  const row = clamp(Math.floor(((py - y) / h) * image.naturalHeight), 0, image.naturalHeight - 1);
  probe.drawImage(image, column, row, 1, 1, 0, 0, 1, 1);
  return [...probe.getImageData(0, 0, 1, 1).data.slice(0, 3)].join(" ");
}

/* Position and colours under the mouse, or in the middle of a zoomed picture. */
function readOut(pictures) {
  const at = view.pointer ?? (view.scale === null ? null : [canvas.width / 2, canvas.height / 2]);
  const [left, top, width, height] = window_();
  const [px, py] = at ? toPicture(...at).map(Math.floor) : [-1, -1];
  const inside = px >= left && py >= top && px < left + width && py < top + height;
  element("readout").textContent =
    inside && pictures.every(Boolean)
      ? `x ${px}, y ${py} · RGB left ${colourAt(pictures[0], px, py)} · right ${colourAt(pictures[1], px, py)}`
      : "";
}

// What is shown ------------------------------------------------------------------------------------

const name = (side) => data.versions[view.pair[side]];

function describe() {
  const moment = data.moments[view.moment];
  selects.forEach((select, side) => {
    select.value = view.pair[side];
    tags[side].textContent = name(side);
  });
  canvas.setAttribute("aria-label", `${moment.label}: ${name(0)} left of the divider, ${name(1)} right of it`);
}

function setPair(pair) {
  view.pair = pair;
  describe();
  redraw();
}

function say(text) {
  element("status").textContent = text;
}

/* Show a frame. `words` take the place of its own where a point of the curves asked for it. */
function setMoment(index, words = "", point = null) {
  view.point = point;
  view.moment = clamp(index, 0, data.moments.length - 1);
  forgetOthers();
  const moment = data.moments[view.moment];
  const radio = element("frames").querySelectorAll("input")[view.moment];
  radio.checked = true;
  // Only the strip may move, never the page below the reader.
  const [strip, label] = [element("frames"), radio.parentElement];
  const end = label.offsetLeft + label.offsetWidth - strip.clientWidth;
  strip.scrollLeft = clamp(strip.scrollLeft, end, label.offsetLeft);
  say(words || `${moment.label}, ${moment.note}`);
  describe();
  layOut();
  followers.forEach((follow) => follow());
}

function hold(held) {
  view.held = held;
  redraw();
}

for (const [side, select] of selects.entries()) {
  data.versions.forEach((version, index) => select.add(new Option(version, index)));
  select.addEventListener("change", () => {
    const pair = [...view.pair];
    const other = pair[1 - side];
    pair[side] = Number(select.value);
    if (pair[side] === other) pair[1 - side] = view.pair[side]; // nobody compares a picture with itself
    setPair(pair);
  });
}

data.moments.forEach((moment, index) => {
  const label = document.createElement("label");
  const radio = document.createElement("input");
  radio.type = "radio";
  radio.name = "frame";
  radio.addEventListener("change", () => setMoment(index));
  const image = new Image();
  image.src = moment.thumbnail;
  image.alt = "";
  const time = document.createElement("b");
  time.textContent = moment.label;
  const note = document.createElement("small");
  note.textContent = moment.note;
  label.append(radio, image, time, note);
  element("frames").append(label);
});

element("swap").addEventListener("click", () => setPair([view.pair[1], view.pair[0]]));
element("zoom-in").addEventListener("click", () => zoomStep(1));
element("zoom-out").addEventListener("click", () => zoomStep(-1));
element("zoom-fit").addEventListener("click", () => zoomTo(0));
element("zoom-one").addEventListener("click", () => zoomTo(1));
element("hold").addEventListener("pointerdown", () => hold(true));
for (const end of ["pointerup", "pointercancel", "blur"]) window.addEventListener(end, () => hold(false));

// Layout -------------------------------------------------------------------------------------------

/* The stage has the shape of the picture, as long as that leaves room for the tools below it. */
function layOut() {
  const [, , width, height] = window_();
  const most = Math.max(window.innerHeight * 0.72, 200);
  const wide = stage.clientWidth;
  const tall = Math.round(Math.min((wide * height) / (width * data.aspect), most));
  stage.style.height = `${tall}px`;
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(wide * ratio));
  canvas.height = Math.max(1, Math.round(tall * ratio));
  redraw();
}

// Not within the observer's own round: the stage's new height is the viewer's too.
new ResizeObserver(() => requestAnimationFrame(layOut)).observe(viewer);
window.addEventListener("resize", layOut); // also a change of the screen's pixels
