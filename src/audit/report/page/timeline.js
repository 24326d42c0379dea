// The chart of one video: probabilities of its most frequent classes, confidence, flicker and change over time.
const TIMELINE = { left: 46, right: 12, flags: 16, lines: 150, gap: 20, band: 30, axis: 24 };
const LINES = 4;
const BANDS = [
  { name: "flicker", most: (value) => `flicker, at most ${short.format(value)}` },
  { name: "change", most: (value) => `change, at most ${measure(value, "grey_levels")}` },
];

// The classes that are most often on top: index and share of the sampled frames.
function frequentClasses(video) {
  const shares = video.on_top.map((frames, index) => ({ index, share: frames / video.sampled })).filter(({ share }) => share > 0);
  return shares.sort((one, other) => other.share - one.share || one.index - other.index).slice(0, LINES);
}

const bandsOf = (video) => BANDS.filter(({ name }) => video.points.some((point) => known(point[name])));
const timelineHeight = (video) => TIMELINE.flags + TIMELINE.lines + bandsOf(video).length * (TIMELINE.gap + TIMELINE.band) + TIMELINE.axis;
const endOf = (video) => Math.max(video.duration_s ?? 0, video.points.at(-1)?.time_s ?? 0) || 1;

// Where a time lies in a chart of this width, in pixels, and back.
const xOf = (video, width, time) => TIMELINE.left + ((width - TIMELINE.left - TIMELINE.right) * time) / endOf(video);
const timeAt = (video, width, x) => ((x - TIMELINE.left) / (width - TIMELINE.left - TIMELINE.right)) * endOf(video);

function timelineChart(video, classes, width) {
  const height = timelineHeight(video);
  const x = (time) => xOf(video, width, time);
  const top = TIMELINE.flags;
  const bottom = top + TIMELINE.lines;
  const y = (share) => bottom - TIMELINE.lines * share;
  const right = width - TIMELINE.right;
  const grid = [0, 0.5, 1].map((share) => [
    draw("line", { class: "grid", x1: TIMELINE.left, x2: right, y1: y(share), y2: y(share) }),
    words(TIMELINE.left - 6, y(share) + 4, percent(share, 0), { class: "end" }),
  ]);
  const lines = classes.map(({ index }, place) => {
    const values = video.points.map((point) => point.top.find(([name]) => name === index)?.[1]);
    return draw("path", { class: `line line-${place}`, d: linePath(video.points, values, x, y) });
  });
  const bands = bandsOf(video).map((band, place) => bandChart(video, band, bottom + place * (TIMELINE.gap + TIMELINE.band) + TIMELINE.gap, x, right));
  const marks = video.points.filter((point) => point.flags.length > 0).map((point) => `M${x(point.time_s) - 5} 3h10l-5 9z`);
  const dots = video.points.filter((point) => pictureOf(point.picture)).map((point) => `M${x(point.time_s)} ${bottom}v-5`);
  const anchor = (time) => (x(time) > right - 20 ? "end" : "middle");
  const times = timeTicks(endOf(video), Math.max(width / 80, 2)).map(([time, text]) => words(x(time), height - 6, text, { class: anchor(time) }));
  return chart(width, height, grid.flat(), confidenceArea(video, x, y), lines, bands.flat(),
    draw("path", { class: "picture-marks", d: dots.join("") }), draw("path", { class: "flag-marks", d: marks.join("") }), times);
}

const TIME_STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400];

// Round times up to `end`, at most `wanted` steps: time and text.
function timeTicks(end, wanted) {
  const step = TIME_STEPS.find((candidate) => end / candidate <= wanted) ?? end;
  const text = (time) => (end < 60 ? `${short.format(time)}${NO_BREAK}s` : clock(Math.round(time)));
  return Array.from({ length: Math.floor(end / step + 1e-9) + 1 }, (_, index) => [index * step, text(index * step)]);
}

// A line with gaps where there is no value; a value between gaps is a dot.
function linePath(points, values, x, y) {
  const at = (index) => `${x(points[index].time_s).toFixed(1)} ${y(values[index]).toFixed(1)}`;
  return values.map((value, index) => {
    if (!known(value)) return "";
    return known(values[index - 1]) ? `L${at(index)}` : `M${at(index)}h.01`;
  }).join("");
}

function confidenceArea(video, x, y) {
  const sure = video.points.filter((point) => point.top.length > 0);
  if (sure.length === 0) return null;
  const along = sure.map((point) => `L${x(point.time_s).toFixed(1)} ${y(point.top[0][1]).toFixed(1)}`).join("");
  return draw("path", { class: "confidence-area", d: `M${x(sure[0].time_s)} ${y(0)}${along}L${x(sure.at(-1).time_s)} ${y(0)}z` });
}

function bandChart(video, { name, most }, top, x, right) {
  const values = video.points.map((point) => point[name]);
  const highest = Math.max(...values.filter(known));
  const bottom = top + TIMELINE.band;
  const bars = video.points.map((point, index) => {
    const height = known(values[index]) && highest > 0 ? (TIMELINE.band * values[index]) / highest : 0;
    return height > 0 ? `M${x(point.time_s).toFixed(1)} ${bottom}v${-height.toFixed(1)}` : "";
  });
  return [
    words(TIMELINE.left, top - 5, most(highest), { class: "start" }),
    draw("path", { class: `band ${name}`, d: bars.join("") }),
    draw("line", { class: "grid", x1: TIMELINE.left, x2: right, y1: bottom, y2: bottom }),
  ];
}
