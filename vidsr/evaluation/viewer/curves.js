/* Curves over time, each a chart that is also a slider; follows stage.js in the same module. */

const SVG = "http://www.w3.org/2000/svg";
const MARGIN = { left: 52, right: 10, top: 12, bottom: 34 };

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

/* Show the frame nearest to a time of the curves, and say so where it is another. */
function choosePoint(index) {
  const point = clamp(index, 0, data.times.length - 1);
  const time = data.times[point];
  const found = nearest(data.moments.map((moment) => moment.time), time);
  const moment = data.moments[found];
  const there = Math.abs(moment.time - time) < 0.0005;
  const words = there ? `${moment.label}, ${moment.note}` : `${clock(time)} is not on this page; shown is the nearest frame, ${moment.label}`;
  setMoment(found, words, point);
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
    const now = view.point ?? nearest(data.times, data.moments[view.moment].time);
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
    const index = view.point ?? nearest(data.times, data.moments[view.moment].time);
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
followers.push(() => curves.forEach((curve) => curve.draw()));

setMoment(0);
