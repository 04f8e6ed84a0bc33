// What a report's script needs of a browser, for node. The test puts in CARDS, BODY and SCRIPT.
const listeners = {}, byId = {}, stored = {};

function make(tag, data) {
  const own = {}, classes = new Set();
  return {
    tagName: tag, dataset: data || {}, style: {}, hidden: false, children: [], classes,
    attributes: {},
    classList: {
      toggle(name, on) { if (on) classes.add(name); else classes.delete(name); },
      add(name) { classes.add(name); },
    },
    setAttribute(name, value) { this.attributes[name] = value; },
    scrollIntoView() {},
    addEventListener(name, heard) { (own[name] = own[name] || []).push(heard); },
    fire(name, event) { (own[name] || []).forEach(heard => heard(event || {})); },
    querySelectorAll(tag) { return this.children.filter(c => c.tagName === tag.toUpperCase()); },
    querySelector(what) {
      return this.children.find(c => c.tagName === what.toUpperCase() || "." + c.kind === what);
    },
    getBoundingClientRect() { return { left: 100, width: 1000 }; },
  };
}

const cards = CARDS.map(function (data) {
  const card = make("ARTICLE", data);
  const player = Object.assign(make("AUDIO"), {
    paused: true, currentTime: 0,
    play() { this.paused = false; this.fire("play"); },
    pause() { this.paused = true; },
  });
  card.children = [player, Object.assign(make("DIV"), { kind: "picture" })];
  card.children.push(Object.assign(make("I"), { kind: "head" }));
  for (const choice of data.path ? ["keep", "discard"] : []) {
    card.children.push(make("BUTTON", { choice }));
  }
  return card;
});
globalThis.requestAnimationFrame = function () {};
globalThis.localStorage = {
  getItem: key => stored[key] || null,
  setItem(key, value) { stored[key] = value; },
};
globalThis.document = {
  body: make("BODY", BODY),
  querySelectorAll: () => cards,
  addEventListener(name, heard) { listeners[name] = heard; },
  getElementById(id) { return (byId[id] = byId[id] || make("DIV")); },
};

SCRIPT

function press(key, more) {
  const event = { key, target: { tagName: "BODY" }, preventDefault() {} };
  listeners.keydown(Object.assign(event, more));
}
const seen = [], list = () => byId.kept.textContent;
press("k");
seen.push(list());
press("ArrowRight");
press("k");
seen.push(list());
press("k");
press("x");
seen.push(list(), cards[2].classes.has("discarded"));
press("k", { ctrlKey: true });
press("k", { target: { tagName: "INPUT" } });
seen.push(list());
byId.only.checked = true;
byId.only.fire("change");
seen.push(cards[2].hidden);
press("ArrowLeft");
press("ArrowRight");
seen.push(cards[3].classes.has("current"));
press(" ");
seen.push(cards[3].children[0].paused);
cards[0].children[1].fire("click", { clientX: 100 + 1000 * 0.53 });
seen.push(cards[0].children[0].currentTime, cards[3].children[0].paused);
seen.push(parseFloat(cards[0].children[2].style.left));
press("k");
seen.push(list());
cards[3].children[3].fire("click");
seen.push(list(), byId.count.textContent, decodeURIComponent(byId.save.href));
seen.push(JSON.parse(Object.values(stored)[0]));
console.log(JSON.stringify(seen));
