// Finds texts with too little contrast. Colours are painted one over the other, from the page's ground to the text, and read back.
const canvas = document.createElement('canvas');
canvas.width = canvas.height = 1;
const pen = canvas.getContext('2d', { willReadFrequently: true });
const known = new Map();
function painted(colours) {
  const key = colours.join();
  if (!known.has(key)) {
    for (const colour of colours) { pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1); }
    const [red, green, blue] = [...pen.getImageData(0, 0, 1, 1).data].map((value) => value / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    known.set(key, 0.2126 * red + 0.7152 * green + 0.0722 * blue);
  }
  return known.get(key);
}
function contrast(element) {
  const style = getComputedStyle(element);
  const grounds = [];
  for (let parent = element; parent; parent = parent.parentElement) grounds.unshift(getComputedStyle(parent).backgroundColor);
  const ground = painted(['#fff', ...grounds]);
  const ink = painted(['#fff', ...grounds, element instanceof SVGElement ? style.fill : style.color]);
  return (Math.max(ground, ink) + 0.05) / (Math.min(ground, ink) + 0.05);
}
function tooFaint(least) {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  let seen = 0;
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (texts.currentNode.textContent.trim() === '' || !element.checkVisibility() || element.closest('.unseen, script, :disabled, [aria-disabled=true]')) continue;
    seen += 1;
    if (contrast(element) < least) found.push(`${element.tagName} ${element.getAttribute('class')}: ${element.textContent.slice(0, 40)} ${contrast(element).toFixed(2)}`);
  }
  return seen > 20 ? found : ['hardly any text'];
}
