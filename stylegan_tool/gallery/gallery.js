"use strict";
// The page works without this script, too: sources and results then stand half and half.
// Nothing is loaded: all there is to show is in the page (see its Content-Security-Policy).

const STEP = 2; // per cent of a picture that an arrow key moves the slider by
const LEAP = 10; // with Shift
const TAP = 4; // pixels that a finger may move and still be a tap

const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const one = (selector, root = document) => root.querySelector(selector);
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

// --- light and dark ---------------------------------------------------------------------------

function startTheme() {
  const root = document.documentElement;
  one(".theme").addEventListener("click", () => {
    const byItself = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    root.dataset.theme = (root.dataset.theme || byItself) === "dark" ? "light" : "dark";
  });
}

// --- the slider: a range input for keyboard and screen reader, the whole picture for hand and mouse --------

function splitOf(holder) {
  return Number(one(".split", holder).value);
}

function setSplit(holder, percent) {
  const at = clamp(percent, 0, 100);
  one(".split", holder).value = at;
  holder.style.setProperty("--split", `${at}%`);
  holder.dispatchEvent(new Event("split"));
}

/** Move by arrow keys in steps of our own: those of browsers differ. */
function onSliderKey(event, holder) {
  const size = event.shiftKey ? LEAP : STEP;
  const goals = { ArrowLeft: splitOf(holder) - size, ArrowRight: splitOf(holder) + size, Home: 0, End: 100 };
  if (!(event.key in goals)) return;
  event.preventDefault();
  setSplit(holder, goals[event.key]);
}

function startSlider(holder) {
  const range = one(".split", holder);
  range.addEventListener("input", () => setSplit(holder, Number(range.value)));
  range.addEventListener("keydown", (event) => onSliderKey(event, holder));
}

function percentAt(event, stage) {
  const box = stage.getBoundingClientRect();
  return (100 * (event.clientX - box.left)) / box.width;
}

/** A finger may want to scroll the page: it moves the slider only when it goes sideways, or taps. */
function startDragging(stage) {
  let from = null;
  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.target.closest("button, select")) return;
    from = event.clientX;
    stage.setPointerCapture(event.pointerId);
    one(".split", stage).focus({ preventScroll: true, focusVisible: false });
    if (event.pointerType !== "touch") setSplit(stage, percentAt(event, stage));
    event.preventDefault(); // no text is selected, no picture dragged away
  });
  stage.addEventListener("pointermove", (event) => {
    if (from === null || (event.pointerType === "touch" && Math.abs(event.clientX - from) < TAP)) return;
    from = Infinity;
    setSplit(stage, percentAt(event, stage));
  });
  stage.addEventListener("pointerup", (event) => {
    if (from !== null) setSplit(stage, percentAt(event, stage));
    from = null;
  });
  stage.addEventListener("pointercancel", () => { from = null; });
}

// --- which two layers of a stage are shown ----------------------------------------------------

function show(stage, side, number) {
  const layers = all(".layer", stage);
  const other = side === "left" ? "right" : "left";
  const before = layers.findIndex((layer) => layer.classList.contains(side));
  if (layers[number].classList.contains(other) && before >= 0) mark(stage, other, before); // they change places
  mark(stage, side, number);
}

function mark(stage, side, number) {
  all(".layer", stage).forEach((layer, i) => layer.classList.toggle(side, i === number));
  const choice = one(`select.tag.${side}`, stage);
  if (choice) choice.value = String(number);
}

function startChoices(stage) {
  for (const side of ["left", "right"]) {
    const choice = one(`select.tag.${side}`, stage);
    if (choice) choice.addEventListener("change", () => show(stage, side, Number(choice.value)));
  }
}

function startFilter() {
  for (const input of all(".ways input")) {
    input.addEventListener("change", () => all(".work").forEach((work) => applyWay(work, input.value)));
  }
}

/** Hide a work that has no result of this way; of one that has several, show that one. */
function applyWay(work, way) {
  const stage = one(".stage", work);
  if (way === "") {
    work.hidden = false;
    return;
  }
  const number = all(".layer", stage).findIndex((layer) => layer.dataset.way === way);
  work.hidden = number < 0;
  if (number >= 0 && one("select.tag", stage)) show(stage, "right", number);
  if (work.hidden && one("video", work)) one("video", work).pause();
}

// --- one picture, enlarged --------------------------------------------------------------------

const zoom = { stage: null, scale: 1, x: 0, y: 0, width: 1, height: 1, isFit: true, pointers: new Map(), drags: "" };
const dialog = one(".zoom");
const view = one(".view", dialog);
const plate = one(".plate", dialog);

function stagesToZoom() {
  return all(".work:not([hidden]) .stage").filter((stage) => one(".enlarge", stage));
}

function openZoom(stage) {
  zoom.stage = stage;
  const shown = all("img.layer.left, img.layer.right", stage).map((layer) => layer.cloneNode());
  shown.forEach((layer) => { layer.loading = "eager"; });
  plate.replaceChildren(...shown);
  const first = shown[0];
  [zoom.width, zoom.height] = [Number(first.getAttribute("width")), Number(first.getAttribute("height"))];
  plate.style.width = `${zoom.width}px`;
  plate.style.height = `${zoom.height}px`;
  const isPair = stage.classList.contains("two");
  plate.classList.toggle("two", isPair);
  one(".bar", dialog).hidden = one(".split", dialog).hidden = !isPair;
  one(".zoom-name", dialog).textContent = `${stage.dataset.name}${tagsOf(stage)}`;
  if (!dialog.open) dialog.showModal();
  setSplit(dialog, isPair ? splitOf(stage) : 0);
  fit();
  one(isPair ? ".split" : "[data-do=close]", dialog).focus({ focusVisible: false });
}

/** Return what the two sides are called. */
function tagsOf(stage) {
  const names = all(".tag", stage).map((tag) => (tag.matches("select") ? tag.selectedOptions[0].text : tag.textContent));
  return names.length ? `: ${names.join(" | ")}` : "";
}

function closeZoom() {
  const stage = zoom.stage;
  if (!stage) return;
  zoom.stage = null;
  plate.replaceChildren();
  if (one(".split", stage)) setSplit(stage, splitOf(dialog));
  one(".enlarge", stage).focus();
  stage.scrollIntoView({ block: "nearest" });
}

function step(by) {
  const stages = stagesToZoom();
  const at = stages.indexOf(zoom.stage);
  if (at >= 0) openZoom(stages[(at + by + stages.length) % stages.length]);
}

function fit() {
  zoom.isFit = true;
  const scale = Math.min(view.clientWidth / zoom.width, view.clientHeight / zoom.height);
  place(scale, 0, 0);
}

/** Put the plate where it is wanted, but no edge inside the window where it could be outside. */
function place(scale, x, y) {
  zoom.scale = scale;
  zoom.x = held(x, view.clientWidth, zoom.width * scale);
  zoom.y = held(y, view.clientHeight, zoom.height * scale);
  plate.style.transform = `translate(${zoom.x}px, ${zoom.y}px) scale(${scale})`;
  one("[data-do=scale]", dialog).textContent = zoom.isFit ? "1:1" : "Fit";
  placeBar();
}

function held(at, room, length) {
  return length <= room ? (room - length) / 2 : clamp(at, room - length, 0);
}

function placeBar() {
  const at = zoom.x + (zoom.scale * zoom.width * splitOf(dialog)) / 100;
  one(".bar", dialog).style.transform = `translateX(${clamp(at, 0, view.clientWidth)}px)`;
}

/** Scale around a place of the window that stays where it is. */
function scaleAround(scale, x, y) {
  const least = Math.min(view.clientWidth / zoom.width, view.clientHeight / zoom.height, 1);
  const goal = clamp(scale, least, 8);
  zoom.isFit = false;
  place(goal, x - ((x - zoom.x) * goal) / zoom.scale, y - ((y - zoom.y) * goal) / zoom.scale);
}

function toggleScale(x = view.clientWidth / 2, y = view.clientHeight / 2) {
  if (zoom.isFit) scaleAround(1 / devicePixelRatio, x, y);
  else fit();
}

const middle = (points) => [
  points.reduce((sum, point) => sum + point.x, 0) / points.length,
  points.reduce((sum, point) => sum + point.y, 0) / points.length,
];
const spread = (points) => Math.hypot(points[0].x - points[1].x, points[0].y - points[1].y);

function onZoomDown(event) {
  view.setPointerCapture(event.pointerId);
  zoom.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  const bar = one(".bar", dialog);
  const near = !bar.hidden && Math.abs(event.clientX - bar.getBoundingClientRect().left) < 28;
  zoom.drags = near || (zoom.isFit && !bar.hidden) ? "bar" : "plate";
}

function onZoomMove(event) {
  if (!zoom.pointers.has(event.pointerId)) return;
  const before = [...zoom.pointers.values()].map((point) => ({ ...point }));
  zoom.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  const after = [...zoom.pointers.values()];
  const [x, y] = middle(after);
  if (after.length === 2) scaleAround((zoom.scale * spread(after)) / Math.max(1, spread(before)), x, y);
  else if (zoom.drags === "bar") setSplit(dialog, (100 * (x - zoom.x)) / (zoom.scale * zoom.width));
  else place(zoom.scale, zoom.x + x - middle(before)[0], zoom.y + y - middle(before)[1]);
}

function onZoomUp(event) {
  zoom.pointers.delete(event.pointerId);
}

function onZoomKey(event) {
  const acts = {
    j: () => step(1), k: () => step(-1), PageDown: () => step(1), PageUp: () => step(-1), z: () => toggleScale(),
    "+": () => scaleAround(zoom.scale * 1.4, view.clientWidth / 2, view.clientHeight / 2),
    "-": () => scaleAround(zoom.scale / 1.4, view.clientWidth / 2, view.clientHeight / 2),
  };
  if (!(event.key in acts) || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  acts[event.key]();
}

function startZoom() {
  for (const stage of stagesToZoom()) {
    one(".enlarge", stage).addEventListener("click", () => openZoom(stage));
    stage.addEventListener("dblclick", (event) => { if (!event.target.closest("button, select")) openZoom(stage); });
    const range = one(".split", stage);
    if (range) range.addEventListener("keydown", (event) => { if (event.key === "Enter") openZoom(stage); });
  }
  const acts = { previous: () => step(-1), next: () => step(1), scale: () => toggleScale(), close: () => dialog.close() };
  for (const button of all(".tools button", dialog)) button.addEventListener("click", acts[button.dataset.do]);
  startSlider(dialog);
  dialog.addEventListener("split", placeBar);
  dialog.addEventListener("close", closeZoom);
  dialog.addEventListener("keydown", onZoomKey);
  view.addEventListener("pointerdown", onZoomDown);
  view.addEventListener("pointermove", onZoomMove);
  view.addEventListener("pointerup", onZoomUp);
  view.addEventListener("pointercancel", onZoomUp);
  view.addEventListener("dblclick", (event) => toggleScale(event.clientX, event.clientY));
  view.addEventListener("wheel", (event) => {
    event.preventDefault();
    scaleAround(zoom.scale * Math.exp(-event.deltaY / 400), event.clientX, event.clientY);
  }, { passive: false });
  addEventListener("resize", () => { if (dialog.open) fit(); });
}

// --- films: each frame holds all of them below each other, and goes to as many canvases -----------

function decode(text, kind) {
  return URL.createObjectURL(new Blob([Uint8Array.from(atob(text), (char) => char.charCodeAt(0))], { type: kind }));
}

function drawFrame(video, canvases) {
  canvases.forEach((canvas, i) => {
    const { width, height } = canvas;
    canvas.getContext("2d").drawImage(video, 0, i * height, width, height, 0, 0, width, height);
  });
}

/** Draw each frame when it is there, for as long as the page is. */
function drawOn(video, canvases) {
  const next = video.requestVideoFrameCallback
    ? (draw) => video.requestVideoFrameCallback(draw)
    : (draw) => requestAnimationFrame(draw);
  const draw = () => {
    drawFrame(video, canvases);
    next(draw);
  };
  next(draw);
  video.addEventListener("seeked", () => drawFrame(video, canvases));
  video.addEventListener("loadeddata", () => drawFrame(video, canvases));
}

function startFilm(work) {
  const video = one("video", work);
  const [button, bar, clock] = [one(".play", work), one(".time", work), one(".clock", work)];
  const tell = () => {
    bar.value = video.currentTime;
    clock.textContent = `${video.currentTime.toFixed(1)} / ${Number(bar.max).toFixed(1)} s`;
  };
  drawOn(video, all("canvas.layer", work));
  video.addEventListener("timeupdate", tell);
  video.addEventListener("seeked", tell);
  video.addEventListener("play", () => button.setAttribute("aria-pressed", "true"));
  video.addEventListener("pause", () => button.setAttribute("aria-pressed", "false"));
  video.addEventListener("error", () => { one(".unplayed", work).hidden = false; });
  button.addEventListener("click", () => (video.paused ? video.play() : video.pause()));
  bar.addEventListener("input", () => { video.currentTime = Number(bar.value); });
  const data = one("script.film-data", work);
  video.src = decode(data.textContent, "video/mp4");
  data.remove(); // it is twice in memory otherwise
}

/** Unpack films when they come near the window. */
function startFilms() {
  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((found) => found.isIntersecting)) {
      watch.unobserve(entry.target);
      startFilm(entry.target);
    }
  }, { rootMargin: "600px" });
  all(".work.film").forEach((work) => watch.observe(work));
}

// --- a training run ---------------------------------------------------------------------------

/** Return the value of the point that is nearest in x; points grow in x. */
function valueAt(points, x) {
  let best = points[0];
  for (const point of points) if (Math.abs(point[0] - x) < Math.abs(best[0] - x)) best = point;
  return best[1];
}

function short(value) {
  if (value !== 0 && Math.abs(value) < 0.01) return value.toExponential(1).replace("e+", "e");
  return String(Number(value.toPrecision(3)));
}

/** Mark an epoch in all curves, and tell their values there. */
function markEpoch(run, epoch) {
  const x = run.left + ((run.right - run.left) * clamp(epoch, 0, run.end)) / run.end;
  all(".panel").forEach((panel, i) => {
    const now = one(".now", panel);
    now.setAttribute("x1", x);
    now.setAttribute("x2", x);
    all(".legend output", panel).forEach((output, line) => {
      output.textContent = short(valueAt(run.panels[i].lines[line].points, epoch));
    });
  });
}

function startHover(run, current) {
  for (const svg of all(".panel svg")) {
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * run.width;
      markEpoch(run, (run.end * (x - run.left)) / (run.right - run.left));
    });
    svg.addEventListener("pointerleave", () => markEpoch(run, current()));
  }
}

function startRun(run) {
  const range = one(".progress .time");
  const sheets = all(".epoch");
  const current = () => (range ? run.epochs[Number(range.value)] : run.end);
  const turn = () => {
    sheets.forEach((sheet, i) => sheet.classList.toggle("shown", i === Number(range.value)));
    one(".progress .clock").textContent = `epoch ${current()}`;
    range.setAttribute("aria-valuetext", `epoch ${current()}`);
    markEpoch(run, current());
  };
  startHover(run, current);
  if (!range) return;
  range.addEventListener("input", turn);
  startPlayingEpochs(range, turn);
  turn();
}

function startPlayingEpochs(range, turn) {
  const button = one(".progress .play");
  let timer = 0;
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    button.setAttribute("aria-pressed", "false");
  };
  const advance = () => {
    range.value = Number(range.value) + 1;
    turn();
    if (range.value === range.max) stop();
  };
  button.addEventListener("click", () => {
    if (timer) return stop();
    if (range.value === range.max) range.value = 0;
    turn();
    button.setAttribute("aria-pressed", "true");
    timer = setInterval(advance, 350);
  });
  range.addEventListener("pointerdown", stop);
}

// ----------------------------------------------------------------------------------------------

function start() {
  startTheme();
  for (const stage of all(".stage.two")) {
    startSlider(stage);
    startDragging(stage);
    startChoices(stage);
  }
  startFilter();
  startZoom();
  startFilms();
  const data = JSON.parse(one("#data").textContent);
  if (data.run) startRun(data.run);
}

start();
