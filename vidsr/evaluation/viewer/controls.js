/* What mouse, fingers and keys do to the stage; follows stage.js in the same module. */

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
    ",": () => setMoment(view.moment - 1),
    ".": () => setMoment(view.moment + 1),
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
