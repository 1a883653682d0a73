"use strict";

/* The viewer: two versions of one frame on a canvas with a divider between them, and curves beside it.
 *
 * Coordinates. "Picture": pixels of the enlarged frame. "Screen": pixels of the canvas, which are those of
 * the device. The view is a scale (screen pixels a picture pixel) and the picture's point in the middle. */
(() => {
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
  };

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

  function setMoment(index, words = "") {
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
    curves.forEach((curve) => curve.draw());
  }

  /* Choose a frame by itself; the curves then show its own time. */
  function chooseMoment(index) {
    point = null;
    setMoment(index);
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
    radio.addEventListener("change", () => chooseMoment(index));
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

  // Mouse and touch ----------------------------------------------------------------------------------

  const pointers = new Map(); // screen positions of what is down, by pointer
  let doing = null; // "wipe", "pan" or "pinch"

  function position(event) {
    const box = stage.getBoundingClientRect();
    const ratio = canvas.width / box.width;
    return [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio];
  }

  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    stage.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, position(event));
    if (pointers.size === 2) {
      doing = "pinch";
    } else {
      doing = event.target === divider || view.scale === null ? "wipe" : "pan";
      // A finger may only be about to scroll the page: it moves the divider when it moves sideways.
      if (doing === "wipe" && event.pointerType !== "touch") setSplit(position(event)[0] / canvas.width);
    }
    stage.classList.toggle("moving", doing === "pan");
  });

  stage.addEventListener("pointermove", (event) => {
    const now = position(event);
    if (event.pointerType !== "touch") {
      view.pointer = now;
      redraw();
    }
    const before = pointers.get(event.pointerId);
    if (!before) return;
    pointers.set(event.pointerId, now);
    if (doing === "wipe") {
      setSplit(now[0] / canvas.width);
    } else if (doing === "pan") {
      pan(now[0] - before[0], now[1] - before[1]);
    } else if (doing === "pinch") {
      pinch(event.pointerId, before, now);
    }
  });

  function pinch(moved, before, now) {
    const [other] = [...pointers].filter(([id]) => id !== moved).map(([, place]) => place);
    if (!other) return;
    const distance = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]) || 1;
    pan((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
    zoomTo((scale() * distance(now, other)) / distance(before, other), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
  }

  for (const end of ["pointerup", "pointercancel"]) {
    stage.addEventListener(end, (event) => {
      pointers.delete(event.pointerId);
      doing = pointers.size === 1 && view.scale !== null ? "pan" : null;
      stage.classList.remove("moving");
    });
  }

  stage.addEventListener("pointerleave", () => {
    view.pointer = null;
    redraw();
  });

  stage.addEventListener("dblclick", (event) => {
    zoomTo(view.scale === null ? LOOK : 0, ...position(event));
  });

  // A plain wheel scrolls the page; a trackpad's pinch arrives as a wheel with Ctrl.
  stage.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      zoomTo(scale() * Math.exp(-event.deltaY / (event.deltaMode ? 10 : 200)), ...position(event));
    },
    { passive: false },
  );

  // Keyboard -----------------------------------------------------------------------------------------

  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  function onDivider(event) {
    const step = event.shiftKey ? 0.1 : 0.01;
    const places = {
      ArrowLeft: view.split - step,
      ArrowDown: view.split - step,
      ArrowRight: view.split + step,
      ArrowUp: view.split + step,
      PageDown: view.split - 0.1,
      PageUp: view.split + 0.1,
      Home: 0,
      End: 1,
    };
    if (!(event.key in places)) return false;
    setSplit(places[event.key]);
    return true;
  }

  function onStage(event) {
    if (event.key === " ") {
      hold(true);
      return true;
    }
    if (!(event.key in ARROWS)) return false;
    const [dx, dy] = ARROWS[event.key];
    if (view.scale === null) {
      if (dy) return false; // the page scrolls
      setSplit(view.split + dx * (event.shiftKey ? 0.1 : 0.01));
    } else {
      // A tenth of the view, and of its half with Shift; at least one picture pixel.
      const far = Math.max(canvas.width * (event.shiftKey ? 0.5 : 0.1), scale());
      pan(-dx * far, -dy * far);
    }
    return true;
  }

  function anywhere(event) {
    const actions = {
      "+": () => zoomStep(1),
      "=": () => zoomStep(1),
      "-": () => zoomStep(-1),
      0: () => zoomTo(0),
      1: () => zoomTo(1),
      x: () => setPair([view.pair[1], view.pair[0]]),
      ",": () => chooseMoment(view.moment - 1),
      ".": () => chooseMoment(view.moment + 1),
    };
    const action = actions[event.key.toLowerCase()];
    action?.();
    return Boolean(action);
  }

  viewer.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "SELECT") return;
    const used =
      (event.target === divider && onDivider(event)) ||
      (event.target === stage && onStage(event)) ||
      (event.target === element("hold") && event.key === " " && (hold(true), true)) ||
      anywhere(event);
    if (used) event.preventDefault();
  });

  window.addEventListener("keyup", (event) => {
    if (event.key === " ") hold(false);
  });

  // Curves -------------------------------------------------------------------------------------------

  const SVG = "http://www.w3.org/2000/svg";
  const MARGIN = { left: 52, right: 10, top: 12, bottom: 34 };
  let point = null; // index of the chosen time of the curves

  function shape(parent, kind, attributes, text) {
    const node = document.createElementNS(SVG, kind);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    parent.append(node);
    return node;
  }

  const clock = (seconds, digits = 3) => {
    const rounded = Number(seconds.toFixed(digits));
    const hours = Math.floor(rounded / 3600);
    const minutes = Math.floor((rounded % 3600) / 60);
    const rest = (rounded % 60).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
    return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
  };

  /* About `count` round numbers from low to high: 1, 2 or 5 times a power of ten. */
  function ticks(low, high, count) {
    const raw = (high - low) / count;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].find((factor) => factor * power >= raw) * power;
    const found = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i += 1) found.push(i * step);
    return [found, Math.max(0, -Math.floor(Math.log10(step) + 1e-9))];
  }

  const nearest = (times, time) => {
    let best = 0;
    times.forEach((each, index) => {
      if (Math.abs(each - time) < Math.abs(times[best] - time)) best = index;
    });
    return best;
  };

  function choosePoint(index) {
    point = clamp(index, 0, data.times.length - 1);
    const time = data.times[point];
    const found = nearest(data.moments.map((moment) => moment.time), time);
    const moment = data.moments[found];
    const there = Math.abs(moment.time - time) < 0.0005;
    setMoment(found, there ? "" : `${clock(time)} is not on this page; shown is the nearest frame, ${moment.label}`);
  }

  class Curve {
    constructor(content, number) {
      this.content = content;
      const figure = document.createElement("figure");
      figure.className = "curve";
      const caption = document.createElement("figcaption");
      const title = document.createElement("h3");
      title.textContent = content.title;
      const meaning = document.createElement("span");
      meaning.className = "hint";
      meaning.textContent = content.meaning;
      this.values = document.createElement("output");
      caption.append(title, meaning, this.values);
      this.plot = document.createElement("div");
      this.plot.className = "plot";
      this.plot.id = `curve-${number}`;
      this.plot.tabIndex = 0;
      for (const [key, value] of Object.entries({
        role: "slider",
        "aria-label": `${content.title} over time`,
        "aria-valuemin": 0,
        "aria-valuemax": data.times.length - 1,
      })) {
        this.plot.setAttribute(key, value);
      }
      figure.append(caption, this.plot);
      element("curves").append(figure);
      this.plot.addEventListener("click", (event) => {
        this.plot.focus({ preventScroll: true });
        choosePoint(this.indexAt(event));
      });
      this.plot.addEventListener("keydown", (event) => this.key(event));
      new ResizeObserver(() => this.draw()).observe(this.plot);
    }

    indexAt(event) {
      const box = this.plot.getBoundingClientRect();
      const share = (event.clientX - box.left - MARGIN.left) / (box.width - MARGIN.left - MARGIN.right);
      const [first, last] = [data.times[0], data.times.at(-1)];
      return nearest(data.times, first + share * (last - first));
    }

    key(event) {
      const now = point ?? nearest(data.times, data.moments[view.moment].time);
      const places = {
        ArrowLeft: now - 1,
        ArrowDown: now - 1,
        ArrowRight: now + 1,
        ArrowUp: now + 1,
        PageDown: now - 10,
        PageUp: now + 10,
        Home: 0,
        End: data.times.length - 1,
      };
      if (!(event.key in places)) return;
      event.preventDefault();
      choosePoint(places[event.key]);
    }

    draw() {
      const { width, height } = this.plot.getBoundingClientRect();
      if (!width) return;
      const known = this.content.series.flatMap((series) => series.values).filter((value) => value !== null);
      let [low, high] = [Math.min(...known), Math.max(...known)];
      const room = (high - low) * 0.06 || Math.abs(high) * 0.01 || 1;
      [low, high] = [low - room, high + room];
      const [first, last] = [data.times[0], data.times.at(-1)];
      const x = (time) => MARGIN.left + ((time - first) / (last - first || 1)) * (width - MARGIN.left - MARGIN.right);
      const y = (value) => height - MARGIN.bottom - ((value - low) / (high - low)) * (height - MARGIN.top - MARGIN.bottom);
      const svg = document.createElementNS(SVG, "svg");
      svg.setAttribute("aria-hidden", "true");
      this.drawGrid(svg, x, y, [low, high], [first, last], [width, height]);
      this.content.series.forEach((series, index) => {
        let path = "";
        series.values.forEach((value, i) => {
          const gap = value === null || i === 0 || series.values[i - 1] === null;
          if (value !== null) path += `${gap ? "M" : "L"}${x(data.times[i]).toFixed(1)} ${y(value).toFixed(1)}`;
        });
        shape(svg, "path", { d: path, class: `line s${index}` });
      });
      const base = height - MARGIN.bottom;
      data.moments.forEach((moment, index) => {
        const at = clamp(x(moment.time), MARGIN.left, width - MARGIN.right);
        const current = index === view.moment;
        shape(svg, "path", { d: `M${at} ${base + 2}l-5 9h10z`, class: current ? "mark current" : "mark" });
      });
      this.drawPoint(svg, x, y, base);
      this.plot.replaceChildren(svg);
    }

    drawGrid(svg, x, y, [low, high], [first, last], [width, height]) {
      const [values, digits] = ticks(low, high, 4);
      for (const value of values) {
        shape(svg, "line", { x1: MARGIN.left, x2: width - MARGIN.right, y1: y(value), y2: y(value), class: "grid" });
        shape(svg, "text", { x: MARGIN.left - 8, y: y(value) + 4, "text-anchor": "end" }, value.toFixed(digits));
      }
      const [times, digitsOfTimes] = last > first ? ticks(first, last, Math.max(2, width / 160)) : [[first], 0];
      for (const time of times) {
        const anchor = x(time) > width - 40 ? "end" : "middle";
        shape(svg, "text", { x: x(time), y: height - 6, "text-anchor": anchor }, clock(time, digitsOfTimes));
      }
    }

    /* The chosen point, or the one nearest to the frame on show. */
    drawPoint(svg, x, y, base) {
      const index = point ?? nearest(data.times, data.moments[view.moment].time);
      const at = x(data.times[index]);
      shape(svg, "line", { x1: at, x2: at, y1: MARGIN.top, y2: base, class: "cursor" });
      const words = this.content.series.map((series, i) => {
        const value = series.values[index];
        if (value !== null) shape(svg, "circle", { cx: at, cy: y(value), r: 5, class: `dot s${i}` });
        return [series.name, value === null ? "none" : `${value.toFixed(this.content.digits)} ${this.content.unit}`.trim()];
      });
      const texts = words.map(([label, value]) => `${label} ${value}`);
      this.plot.setAttribute("aria-valuenow", index);
      this.plot.setAttribute("aria-valuetext", `${clock(data.times[index])}: ${texts.join(", ")}`);
      this.values.replaceChildren(`${clock(data.times[index])}   `);
      words.forEach(([label, value], i) => {
        const key = document.createElementNS(SVG, "svg");
        key.setAttribute("class", "key");
        key.setAttribute("aria-hidden", "true");
        shape(key, "line", { x1: 0, x2: 26, y1: 5, y2: 5, "stroke-width": 2.5, class: `s${i}` });
        this.values.append(key, `${label} ${value}   `);
      });
    }
  }

  const curves = data.curves.map((content, number) => new Curve(content, number));
  element("curves").hidden = !curves.length;

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
  setMoment(0);
})();
