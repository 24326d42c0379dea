// Videos: a timeline each, and the frame that is chosen in it.
const VIDEOS_AT_ONCE = 20;
const PAGE_OF_POINTS = 10;
const videoElements = [];

function showVideos() {
  by("videos").hidden = data.videos.length === 0;
  addVideos(VIDEOS_AT_ONCE);
  if (videoElements.length > 0) videoElements[0].open = true;
  by("more-videos").addEventListener("click", () => {
    const before = videoElements.length;
    addVideos(before + VIDEOS_AT_ONCE);
    videoElements[before]?.querySelector("summary").focus();
  });
}

function addVideos(wanted) {
  for (const video of data.videos.slice(videoElements.length, wanted)) videoElements.push(videoElement(video));
  by("video-list").append(...videoElements.slice(by("video-list").children.length));
  const left = data.videos.length - videoElements.length;
  by("more-videos").hidden = left === 0;
  by("more-videos").textContent = `Show ${Math.min(VIDEOS_AT_ONCE, left)} more videos`;
}

// Opens a video at a time.
function showMoment(index, time) {
  addVideos(index + 1);
  const element = videoElements[index];
  element.open = true;
  element.dispatchEvent(new CustomEvent("moment", { detail: time }));
  element.scrollIntoView();
  element.querySelector("[role=slider]")?.focus({ preventScroll: true });
}

// What is in it is made when it is opened.
function videoElement(video) {
  const facts = [
    known(video.duration_s) && seconds(video.duration_s),
    plural(video.sampled, "sampled frame"),
    video.sampled > video.points.length && `${count(video.points.length)} shown`,
    video.flagged > 0 && `${count(video.flagged)} flagged`,
  ];
  const summary = make("summary", {}, pathElement(video.path), make("span", { class: "note" }, facts.filter(Boolean).join(" · ")));
  const element = make("details", { class: "video panel" }, summary);
  const build = () => element.childElementCount === 1 && element.append(...videoContent(video, element));
  element.addEventListener("toggle", build);
  element.addEventListener("moment", build);
  return element;
}

function videoContent(video, element) {
  if (video.points.length === 0) return [make("p", { class: "faint" }, "No frame of it was sampled.")];
  const classes = frequentClasses(video);
  const last = video.points.length - 1;
  const canvas = make("div", {});
  const range = { "aria-label": `Moment in ${video.path}`, "aria-valuemin": "0", "aria-valuemax": last };
  const slider = make("div", { class: "timeline", tabindex: "0", role: "slider", ...range }, canvas);
  const detail = make("div", { class: "moment" });
  const cursor = draw("line", { class: "cursor", y1: 0, y2: timelineHeight(video) - TIMELINE.axis });
  let [chosen, width] = [firstShown(video), 0];

  function choose(index) {
    chosen = Math.min(Math.max(index, 0), last);
    const x = xOf(video, width, video.points[chosen].time_s);
    fill(cursor, { x1: x, x2: x }, []);
    fill(slider, { "aria-valuenow": chosen, "aria-valuetext": momentText(video, chosen) }, []);
    detail.replaceChildren(...momentContent(video, classes, chosen));
  }
  drawAtWidth(canvas, timelineHeight(video), (available) => {
    width = available;
    const svg = timelineChart(video, classes, width);
    svg.append(cursor);
    choose(chosen);
    return svg;
  });
  const chooseAt = (event) => choose(nearest(video, timeAt(video, width, event.clientX - canvas.getBoundingClientRect().left)));
  slider.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    slider.setPointerCapture(event.pointerId);
    chooseAt(event);
  });
  slider.addEventListener("pointermove", (event) => slider.hasPointerCapture(event.pointerId) && chooseAt(event));
  slider.addEventListener("keydown", (event) => {
    const target = keyTarget(event.key, chosen, last);
    if (target === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    choose(target);
  });
  element.addEventListener("moment", ({ detail: time }) => choose(nearest(video, time)));
  return [timelineLegend(video, classes), slider, detail, videoLinks(video)].filter(Boolean);
}

function keyTarget(key, chosen, last) {
  const targets = {
    ArrowLeft: chosen - 1, ArrowDown: chosen - 1, ArrowRight: chosen + 1, ArrowUp: chosen + 1,
    PageDown: chosen - PAGE_OF_POINTS, PageUp: chosen + PAGE_OF_POINTS, Home: 0, End: last,
  };
  return targets[key];
}

// At first something that was found is shown, or at least a picture.
function firstShown(video) {
  const isFlagged = (point) => point.flags.length > 0 && pictureOf(point.picture);
  const index = video.points.findIndex(isFlagged);
  return index >= 0 ? index : Math.max(video.points.findIndex((point) => pictureOf(point.picture)), 0);
}

function nearest(video, time) {
  const distances = video.points.map((point) => Math.abs(point.time_s - time));
  return distances.indexOf(Math.min(...distances));
}

function timelineLegend(video, classes) {
  const sample = (place) => draw("svg", { class: "sample", viewBox: "0 0 28 8", "aria-hidden": "true" }, draw("path", { class: `line line-${place}`, d: "M1 4h26" }));
  const text = ({ index, share }) => `${className(video.classes[index])} (on top in ${percent(share, 0)})`;
  const isFlagged = video.points.some((point) => point.flags.length > 0);
  return make("p", { class: "legend" },
    classes.map((entry, place) => make("span", {}, sample(place), text(entry))),
    make("span", {}, make("span", { class: "swatch confidence-area" }), "confidence"),
    isFlagged && make("span", {}, make("span", { class: "flag-sample", "aria-hidden": "true" }, "▼"), "flagged"));
}

const flagTitles = (point) => point.flags.map((name) => KINDS.get(name)?.title ?? name);

function momentText(video, index) {
  const point = video.points[index];
  const [best] = point.top;
  const parts = [seconds(point.time_s), best && `${className(video.classes[best[0]])} ${percent(best[1])}`, ...flagTitles(point)];
  return parts.filter(Boolean).join(", ");
}

function momentContent(video, classes, index) {
  const point = video.points[index];
  const line = (name) => `line-${classes.findIndex((entry) => entry.index === name)}`;
  const rows = point.top.map(([name, share]) => make("li", {},
    make("span", { class: "name" }, classElement(video.classes[name])),
    make("span", { class: "number" }, percent(share)),
    bar(share, line(name))));
  const numbers = definitions(make("dl", { class: "facts" }), [
    ["Time", seconds(point.time_s)],
    ["Frame", count(point.frame)],
    ["Flicker", known(point.flicker) ? rounded.format(point.flicker) : null],
    ["Change", known(point.change) ? measure(point.change, "grey_levels") : null],
    ["Flagged", point.flags.length > 0 ? flagTitles(point).join(", ") : null],
  ]);
  const text = "No picture was kept of this frame. Short lines at the bottom of the chart mark those that have one.";
  return [panels(point.picture, text), make("div", { class: "moment-numbers" }, make("ol", { class: "top" }, rows), numbers)];
}

// From a video to its findings.
function videoLinks(video) {
  const found = data.findings.filter((finding) => finding.path === video.path).length;
  return found > 0 && make("p", {}, viewLink({ query: video.path }, `Show ${plural(found, "finding")} in this video`));
}
