// Numbers, times, paths and names as people read them.
const NO_BREAK = "\u00a0";
const MISSING = "–";
const known = (value) => value !== null && value !== undefined && Number.isFinite(value);

const grouped = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
const rounded = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });

const count = (value) => grouped.format(value);
const plural = (value, one, many = `${one}s`) => `${count(value)}${NO_BREAK}${value === 1 ? one : many}`;

function percent(share, digits = 1) {
  return known(share) ? `${(100 * share).toFixed(digits)}${NO_BREAK}%` : MISSING;
}

// Adding zero makes -0 the same as 0.
const points = (difference) => `${(Math.round(1000 * difference) / 10 + 0).toFixed(1)}${NO_BREAK}points`;

function seconds(value) {
  if (!known(value)) return MISSING;
  const tenths = Math.round(10 * value);
  if (tenths < 600) return `${(tenths / 10).toFixed(1)}${NO_BREAK}s`;
  return `${clock(Math.floor(tenths / 10))}.${tenths % 10}`;
}

// Whole seconds as hours, minutes and seconds.
function clock(value) {
  const two = (part) => String(part).padStart(2, "0");
  const [hours, minutes] = [Math.floor(value / 3600), Math.floor(value / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(value % 60)}` : `${minutes}:${two(value % 60)}`;
}

const UNITS = {
  pixels: "px",
  grey_levels: "grey levels",
  squared_grey_levels: "grey levels²",
  bits: "bits",
};

function measure(value, unit) {
  if (!known(value)) return MISSING;
  if (unit === "fraction") return percent(value);
  if (unit === "seconds") return seconds(value);
  return unit in UNITS ? `${short.format(value)}${NO_BREAK}${UNITS[unit]}` : rounded.format(value);
}

const className = (name) => (name ? name.replaceAll("_", " ") : name);

// A class in an element of its own, so that its writing direction does not turn what is around it; the same holds for paths.
const classElement = (name) => (name ? make("bdi", {}, className(name)) : null);

// A path; the file's own name stands out.
function pathElement(path, attributes = {}) {
  const cut = path.lastIndexOf("/") + 1;
  const folder = cut > 0 && make("span", { class: "folder" }, path.slice(0, cut));
  return make("bdi", { class: "path", ...attributes }, folder, make("span", { class: "file" }, path.slice(cut)));
}

const sum = (values) => values.reduce((total, value) => total + (value ?? 0), 0);
