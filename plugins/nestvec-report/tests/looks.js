// What is wrong with the look of a page: a list of sentences. Run in a window that is as high as the page.
const problems = [];
const shown = (element) => element.checkVisibility({ visibilityProperty: true });
const name = (element) => `<${element.tagName.toLowerCase()} class="${element.getAttribute("class") || ""}">`;

function colour(text) {
  const [red, green, blue, alpha = 1] = text.match(/[\d.]+/g).map(Number);
  return text.startsWith("rgb") ? { rgb: [red, green, blue], alpha } : { rgb: [0, 0, 0], alpha: 0 };
}
function luminance(rgb) {
  const linear = rgb.map((part) => (part / 255 <= 0.03928 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
}
function contrast(one, other) {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}
function paint(element) { // what an element puts behind a text
  const style = getComputedStyle(element);
  if (!(element instanceof SVGGeometryElement)) return colour(style.backgroundColor);
  if (style.fill === "none") return { rgb: [0, 0, 0], alpha: 0 };
  const fill = colour(style.fill);
  return { rgb: fill.rgb, alpha: fill.alpha * Number(style.fillOpacity) };
}
function behind(element, x, y) { // all that lies under a place of a text, from the top; or what the text lies in
  const pile = document.elementsFromPoint(x, y);
  if (pile.includes(element)) return pile.slice(pile.indexOf(element));
  const parents = [];
  for (let at = element; at; at = at.parentElement) parents.push(at);
  return parents;
}
function background(element, x, y) {
  const style = getComputedStyle(element); // a wide outline below the letters parts them from all else
  if (style.paintOrder.startsWith("stroke") && parseFloat(style.strokeWidth) >= 3) return colour(style.stroke).rgb;
  let rgb = [255, 255, 255];
  for (const under of behind(element, x, y).reverse()) {
    const { rgb: above, alpha } = under === element && element instanceof SVGElement ? { rgb, alpha: 0 } : paint(under);
    rgb = rgb.map((part, i) => part * (1 - alpha) + above[i] * alpha);
  }
  return rgb;
}

const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const boxes = new Map(); // of the texts in each drawing
let texts = 0;
while (walker.nextNode()) {
  const node = walker.currentNode, element = node.parentElement;
  if (!node.data.trim() || !shown(element) || element.closest("title, desc, .unseen")) continue;
  const range = document.createRange();
  range.selectNodeContents(node);
  const box = range.getBoundingClientRect();
  if (!box.width) continue;
  texts += 1;
  const style = getComputedStyle(element), drawing = element.closest("svg");
  const said = `${name(element)} “${node.data.trim().slice(0, 40)}”`;
  const size = parseFloat(style.fontSize) * (drawing ? element.getScreenCTM().a : 1);
  if (size < (arguments[0] === "print" ? 10 : 11)) problems.push(`${said} is ${size.toFixed(1)} px high`);
  const ink = colour(drawing ? style.fill : style.color);
  const found = contrast(ink.rgb, background(element, box.x + box.width / 2, box.y + box.height / 2));
  if (ink.alpha < 1 || found < 4.5) problems.push(`${said} has a contrast of ${found.toFixed(2)}`);
  if (drawing) {
    const all = boxes.get(drawing) || boxes.set(drawing, []).get(drawing);
    const middle = (box.top + box.bottom) / 2; // letters are lower than their line
    for (const other of all) {
      const apart = Math.abs(other.middle - middle) > 9 || other.right < box.left + 0.5 || box.right < other.left + 0.5;
      if (!apart) problems.push(`${said} lies on “${other.said}”`);
    }
    all.push({ left: box.left, right: box.right, middle, said: node.data });
  }
  const cut = element.closest(".scroll"); // may be scrolled into view
  if (!cut && (box.left < -0.5 || box.right > innerWidth + 0.5)) problems.push(`${said} leaves the page`);
}
if (texts < 20) problems.push(`only ${texts} texts are to be seen`);

const root = document.documentElement;
if (root.scrollWidth > innerWidth) problems.push(`the page is ${root.scrollWidth} px wide in a window of ${innerWidth}`);
for (const region of document.querySelectorAll(".scroll")) {
  if (region.tabIndex !== 0) problems.push("a table can not be scrolled by keyboard");
  if (arguments[0] === "print" && region.scrollWidth > region.clientWidth) problems.push("a table is cut off on paper");
}
for (const chart of document.querySelectorAll(".chart")) {
  const drawings = [...chart.querySelectorAll("svg")].filter(shown);
  if (drawings.length !== 1) problems.push(`a chart shows ${drawings.length} drawings`);
  for (const drawing of drawings) {
    const box = drawing.getBoundingClientRect();
    if (box.width < 250 || box.height < 60) problems.push(`a drawing of ${box.width} × ${box.height}`);
    if (arguments[0] === "print" && box.height > 900) problems.push("a drawing is higher than a sheet of paper");
    if (!drawing.querySelector("rect, circle, path")) problems.push("a drawing is empty");
  }
}
if (!document.querySelector(".chart")) problems.push("there is no chart");
return problems;
