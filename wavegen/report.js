"use strict";
(function () {
  const BACK = 0.5;  /* seconds of the seed that are heard where one begins at its end */
  const JUMP = 2;  /* seconds */
  const byId = name => document.getElementById(name);
  const cards = Array.from(document.querySelectorAll(".card"));
  const choosable = cards.filter(card => card.dataset.key);
  const playerOf = card => card.querySelector("audio");
  let chosen = {}, current = null, wanted = null;

  /* -- what was chosen: by the sound itself, so that every page on this machine knows it ----------- */
  function recall() {
    let text = null;
    try { text = localStorage.getItem("wavegen"); } catch (error) { text = window.name; }
    try { return Object(JSON.parse(text)); } catch (error) { return {}; }
  }
  function remember(key, choice) {
    chosen = recall();  /* another page may have written meanwhile */
    if (choice) chosen[key] = choice; else delete chosen[key];
    const text = JSON.stringify(chosen);
    try { localStorage.setItem("wavegen", text); } catch (error) { window.name = text; }
  }
  function quoted(path) {
    return /^[\w./-]+$/.test(path) ? path : "'" + path.replaceAll("'", "'\\''") + "'";
  }
  function show() {
    for (const card of choosable) {
      const choice = chosen[card.dataset.key];
      card.classList.toggle("kept", choice === "keep");
      card.classList.toggle("discarded", choice === "discard");
      card.hidden = choice === "discard" && byId("only").checked;
      for (const button of card.querySelectorAll("button")) {
        button.setAttribute("aria-pressed", String(button.dataset.choice === choice));
      }
    }
    const kept = choosable.filter(card => chosen[card.dataset.key] === "keep");
    const list = kept.map(card => card.dataset.path);
    byId("count").textContent = String(list.length);
    byId("total").textContent = String(choosable.length);
    byId("kept").textContent = list.join("\n");
    byId("save").href = "data:text/plain;charset=utf-8," + encodeURIComponent(list.map(path => path + "\n").join(""));
    byId("next").hidden = !list.length;
    if (list.length) byId("again").textContent = "python -m wavegen again " + quoted(list[0]) + " --seconds 60";
  }
  function choose(card, choice) {
    if (!card || !card.dataset.key) return;
    const taken = chosen[card.dataset.key] === choice;
    remember(card.dataset.key, taken ? null : choice);
    show();
    if (!taken && byId("on").checked && !playerOf(card).paused) step(1);
  }

  /* -- the sounds: FLAC in the page, which browsers decode well but find places in badly -------- */
  function wave(sound) {
    const count = sound.numberOfChannels, size = 2 * count * sound.length, rate = sound.sampleRate;
    const view = new DataView(new ArrayBuffer(44 + size));
    const words = (at, text) => Array.from(text).forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
    words(0, "RIFF"); words(8, "WAVEfmt "); words(36, "data");
    [[4, 36 + size], [16, 16], [24, rate], [28, 2 * count * rate], [40, size]].forEach(pair => view.setUint32(...pair, true));
    [[20, 1], [22, count], [32, 2 * count], [34, 16]].forEach(pair => view.setUint16(...pair, true));
    const samples = new Int16Array(view.buffer, 44);
    for (let channel = 0; channel < count; channel++) {
      const values = sound.getChannelData(channel);
      for (let i = 0; i < values.length; i++) {
        samples[i * count + channel] = Math.max(-32768, Math.min(32767, Math.round(32768 * values[i])));
      }
    }
    return new Blob([view], { type: "audio/wav" });
  }
  async function opened(player) {
    const source = player.dataset.source, rate = Number(player.dataset.rate);
    try {
      if (!source.startsWith("data:audio/flac")) return source;
      const text = atob(source.slice(source.indexOf(",") + 1)), bytes = new Uint8Array(text.length);
      for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
      const sound = await new OfflineAudioContext(1, 1, rate).decodeAudioData(bytes.buffer);
      return URL.createObjectURL(wave(sound));
    } catch (error) { return source; }
  }
  function load(card) {
    const player = playerOf(card);
    if (!player.ready) player.ready = opened(player).then(url => { player.src = url; });
    return player.ready;
  }

  /* -- where one is, and what plays ---------------------------------------------------------------- */
  function inOrder() { return Array.from(document.querySelectorAll(".card")); }
  function go(card, follow) {
    if (current) { current.classList.remove("current"); current.removeAttribute("aria-current"); }
    current = card;
    card.classList.add("current");
    card.setAttribute("aria-current", "true");
    if (!follow) return;
    card.focus({ preventScroll: true });
    card.scrollIntoView({ block: "nearest" });
  }
  function step(by) {
    const all = inOrder(), playing = current && !playerOf(current).paused;
    let at = all.indexOf(current) + by;
    while (all[at] && all[at].hidden) at += by;
    if (!all[at]) return;
    go(all[at], true);
    if (playing) play(all[at]);
  }
  function alone(card) {
    for (const other of cards) if (other !== card) playerOf(other).pause();
  }
  async function play(card, from) {
    const player = playerOf(card), begin = Number(card.dataset.split) - BACK;
    alone(card);
    wanted = card;
    await load(card);
    if (wanted !== card) return;  /* another one was begun meanwhile */
    if (from !== undefined) player.currentTime = from;
    else if (byId("skip").checked && (player.ended || player.currentTime < begin)) player.currentTime = Math.max(0, begin);
    player.play().catch(() => undefined);  /* stopped before it began */
  }
  function toggle(card) {
    if (!card) return;
    if (playerOf(card).paused) play(card); else stop(card);
  }
  function stop(card) {
    wanted = null;
    playerOf(card).pause();
  }
  function jump(card, by) {
    if (card) playerOf(card).currentTime = Math.max(0, playerOf(card).currentTime + by);
  }
  function watch(card) {
    const player = playerOf(card), head = card.querySelector(".head"), picture = card.querySelector(".picture");
    const seconds = Number(card.dataset.seconds);
    function move() {
      head.style.display = "block";
      head.style.left = 100 * Math.min(1, player.currentTime / seconds) + "%";
      if (!player.paused) requestAnimationFrame(move);
    }
    player.addEventListener("play", function () {
      if (player.paused) return;  /* another one was begun meanwhile */
      alone(card);
      if (current !== card) go(card, false);
      move();
    });
    player.addEventListener("seeked", move);
    player.addEventListener("ended", function () {
      if (!byId("on").checked || current !== card) return;
      const before = current;
      step(1);
      if (current !== before) play(current);
    });
    picture.addEventListener("click", function (event) {
      const box = picture.getBoundingClientRect();
      play(card, Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) * seconds);
    });
    card.addEventListener("click", () => go(card, false));
    for (const button of card.querySelectorAll("button")) {
      button.addEventListener("click", function (event) {
        if (event.detail) card.focus({ preventScroll: true });  /* or the space bar would press it */
        choose(card, button.dataset.choice);
      });
    }
  }
  function sort() {
    const by = byId("order").value, playing = cards.find(card => !playerOf(card).paused);
    const places = {
      "number": card => Number(card.dataset.number),
      "cost": card => Number(card.dataset.cost),
      "-cost": card => -Number(card.dataset.cost),
      "kept": card => ["keep", undefined, "discard"].indexOf(chosen[card.dataset.key]),
    };
    const sorted = choosable.slice().sort((a, b) => places[by](a) - places[by](b) || places.number(a) - places.number(b));
    for (const card of sorted) card.parentNode.append(card);
    if (playing) play(playing);  /* a player that is moved stops */
  }

  document.addEventListener("keydown", function (event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const tag = event.target && event.target.tagName, key = event.key.toLowerCase();
    if (tag === "SELECT" || (key === " " && ["BUTTON", "SUMMARY", "INPUT", "A"].includes(tag))) return;
    if (key === "arrowright") { if (event.shiftKey) jump(current, JUMP); else step(1); }
    else if (key === "arrowleft") { if (event.shiftKey) jump(current, -JUMP); else step(-1); }
    else if (key === "k") choose(current, "keep");
    else if (key === "x") choose(current, "discard");
    else if (key === " ") toggle(current);
    else return;
    event.preventDefault();
  });
  window.addEventListener("storage", function () { chosen = recall(); show(); });
  byId("only").addEventListener("change", show);
  byId("order").addEventListener("change", function () { sort(); byId("order").blur(); });
  byId("copy").addEventListener("click", function () {
    const range = document.createRange(), selection = getSelection();
    range.selectNodeContents(byId("kept"));
    selection.removeAllRanges();
    selection.addRange(range);
    if (!document.execCommand("copy")) return;  /* what is selected can be copied by hand */
    byId("copy").textContent = "copied";
    setTimeout(() => { byId("copy").textContent = "copy the list"; }, 1500);
  });

  cards.forEach(watch);
  const near = new IntersectionObserver(function (seen) {  /* fifty at once would take a while */
    for (const one of seen) if (one.isIntersecting) { load(one.target); near.unobserve(one.target); }
  }, { rootMargin: "400px" });
  cards.forEach(card => near.observe(card));
  chosen = recall();
  if (choosable.length) go(choosable[0], false);
  show();
})();
