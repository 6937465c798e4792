"""The explorer's style sheet, and its script for keys, links and scrolling; both once per page."""

STYLE = """<style>
/* The page has room for the explorer beside JupyterLab's bars. */
.medalign {container-type: inline-size; line-height: 1.35; font-size: 13px;
  height: calc(100vh - 160px); min-height: 440px; max-height: 1200px; overflow: hidden}
.jp-OutputArea-child:has(.medalign) > :is(.jp-OutputPrompt, .jp-OutputArea-promptOverlay),
.jp-OutputArea:has(.medalign) > .jp-OutputArea-promptOverlay {display: none}
.medalign > .widget-box, .medalign > .widget-html {flex: 0 0 auto}
.medalign > .widget-html:first-child, .medalign .ma-script {display: none}
.medalign .widget-html-content {line-height: 1.35; font-size: 13px; min-width: 0; flex: 1 1 0}
.medalign .widget-text, .medalign .widget-dropdown {margin: 1px 4px 1px 0; width: auto}
.medalign .widget-label {width: auto; min-width: 0; margin-right: 4px}
.medalign .ma-top > .ma-grow {flex: 1 1 300px; min-width: 220px}
.medalign .ma-find {width: 210px}
.medalign .ma-patient {width: 250px}
.medalign .ma-top, .medalign .ma-bar {flex-flow: row wrap; overflow: hidden}
.medalign .ma-person .widget-html-content {white-space: nowrap; overflow: hidden;
  text-overflow: ellipsis}
.medalign > .ma-main {flex: 1 1 0; min-height: 0; overflow: hidden; gap: 8px}
.medalign .ma-left, .medalign .ma-right {min-width: 0; min-height: 0; overflow: hidden}
.medalign .ma-left {flex: 43 1 0; overflow: auto; border: 1px solid #bbb; padding: 4px 8px}
.medalign .ma-left > * {flex: 0 0 auto}
.medalign .ma-right {flex: 57 1 0}
.medalign .ma-right > * {flex: 0 0 auto}
.medalign .ma-right > .widget-tab {flex: 1 1 0; min-height: 0; display: flex;
  flex-direction: column; overflow: hidden}
.medalign .widget-tab > .widget-tab-contents {flex: 1 1 0; min-height: 0; padding: 4px 6px;
  overflow: hidden}
.medalign .widget-tab-contents > .widget-box {height: 100%; overflow: hidden}
.medalign .widget-tab-contents > .widget-box > * {flex: 0 0 auto}
.medalign .widget-select.ma-notes {width: auto; height: 23%; min-height: 58px; margin: 2px 0}
.medalign .widget-select.ma-notes > select {width: 100%; height: 100%; margin: 0;
  overflow: auto; font-size: 12.5px}
.medalign .widget-html.ma-fill {flex: 1 1 0; min-height: 0; margin: 0; display: flex}
.medalign .ma-fill > .widget-html-content {flex: 1 1 0; min-width: 0; min-height: 0;
  display: flex; flex-direction: column}
.medalign .medalign-scroll {flex: 1 1 0; min-height: 0; overflow: auto; border: 1px solid #ccc;
  padding: 2px 8px}
.ma-in-view {display: inline-block; scroll-initial-target: nearest}
.medalign .ma-text {white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.4}
.medalign .ma-note-title {padding: 1px 0 3px}
.medalign-scroll a, .ma-note-title a {color: #0B57D0; text-decoration: underline}
.medalign p {margin: 3px 0}
.medalign .ma-question {margin: 2px 0; font-size: 14.5px; font-weight: 600}
.medalign-table {border-collapse: collapse; width: 100%}
.medalign-table td, .medalign-table th {padding: 2px 6px; border-bottom: 1px solid #ddd;
  text-align: left; vertical-align: top; overflow-wrap: anywhere}
.medalign-table td:first-child {white-space: nowrap}
.ma-response {border-top: 1px solid #ddd; padding: 3px 0}
.ma-response h4 {margin: 0; font-size: 13px}
.ma-body {max-height: 5.5em; overflow: auto; overflow-wrap: anywhere; font-size: 12.5px}
.ma-body:focus {max-height: none}
.ma-body > :is(p, ul, ol, h1, h2, h3, h4, h5, h6, blockquote, pre, table) {margin: 1px 0}
.ma-body :is(h1, h2, h3, h4, h5, h6) {font-size: inherit; font-weight: 600}
.ma-body :is(ul, ol) {padding-left: 18px}
.ma-body pre {white-space: pre-wrap}
.ma-body :is(td, th) {border: 1px solid #ccc; padding: 0 5px}
.ma-verdict {font-size: 12px; font-weight: 500; margin-left: 6px}
.ma-correct {color: #00613F} .ma-incorrect {color: #A63C00}
mark[class^=ma-] {color: black; padding: 0 1px}
.ma-evidence {background: #9ED8FF; color: black}
.medalign tr.ma-evidence a {color: #00315c}
.ma-search {background: #F5E663}
.ma-current {outline: 2px solid #B54708}
.ma-found {background: #B9E4CF} .ma-contradicted {background: #FFD2B8}
.ma-label {font-weight: 600; margin: 0 3px; white-space: nowrap}
.medalign .ma-types .widget-checkbox {width: auto; height: 21px; margin: 0 10px 0 0}
.medalign .ma-types {flex-flow: row wrap}
.medalign .ma-date {width: 150px}
.medalign .ma-order {width: 108px}
.medalign .ma-search-box {flex: 1 1 150px; min-width: 130px}
.medalign .ma-search-box > .widget-label {position: absolute; clip-path: inset(50%)}
.medalign .widget-button, .medalign .widget-toggle-button {width: auto; padding: 0 7px;
  margin: 1px 4px 1px 0}
.ma-timeline {position: relative; font-size: 11px; line-height: 12px}
.ma-row, .ma-axis {display: flex; height: 12px}
.ma-row b, .ma-axis b, .ma-now::before {flex: 0 0 142px; width: 142px; font-weight: 500;
  text-align: right; padding-right: 6px; box-sizing: border-box; white-space: nowrap}
.ma-row svg {flex: 1 1 0; height: 10px; width: 0; min-width: 0; background: #8881}
.ma-axis div {position: relative; flex: 1 1 0; overflow: hidden}
.ma-axis {height: 14px}
.ma-axis span {position: absolute; white-space: nowrap; border-left: 1px solid #888;
  padding-left: 3px}
.ma-now {position: absolute; left: 142px; right: 0; top: 0; bottom: 14px; pointer-events: none}
.ma-now::before {content: none}
.ma-now i {position: absolute; top: 0; bottom: 0; border-left: 2px solid #D55E00}
.ma-trend img {width: 100%; max-width: 700px; background: white}
.ma-trend .medalign-table {width: auto}
@container (max-width: 700px) {
  .medalign .ma-left, .ma-row b, .ma-axis b {font-size: 11px}
  .ma-row b, .ma-axis b {flex-basis: 112px; width: 112px; overflow: hidden}
  .ma-now {left: 112px}
}
</style>"""

# `n` and `p` press the buttons for the next and previous hit, "/" goes to the search. The address
# of an event in the page's address is opened. What matters in a new text is scrolled into view;
# without the script, browsers that support `scroll-initial-target` do the same.
SCRIPT = """
(() => {
  const explorers = () => [...document.querySelectorAll('.medalign')];
  const typing = (e) => e.target.closest?.('input, textarea, select, [contenteditable=true]');
  const press = (root, name) => root.querySelector('.' + name + ':not([disabled])')?.click();
  // JupyterLab drops the fragment of the address that it was opened with.
  const opened = performance.getEntriesByType('navigation')[0]?.name ?? '';
  const open = (root) => {
    const address = /#medalign=(.+)$/.exec(location.hash || opened)?.[1];
    const input = root.querySelector('.ma-find input');
    if (!address || !input || root.dataset.address === address) return;
    root.dataset.address = address;
    input.value = decodeURIComponent(address);
    for (const name of ['input', 'change'])
      input.dispatchEvent(new Event(name, {bubbles: true}));
  };
  const showTargets = (root) => {
    for (const target of root.querySelectorAll?.('.ma-in-view') ?? []) {
      const box = target.closest('.medalign-scroll, .ma-body');
      if (box?.clientHeight)
        box.scrollTop += target.getBoundingClientRect().top - box.getBoundingClientRect().top - 50;
    }
  };
  const start = (tries) => {
    const waiting = explorers().filter((root) => !root.dataset.started);
    // The controls appear after the box that holds them.
    const ready = waiting.filter((root) => root.querySelector('.ma-short')
      && (root.matches('.ma-one-record') || root.querySelector('.ma-find input')));
    for (const root of ready) {
      root.dataset.started = true;
      if (innerHeight < 780) press(root, 'ma-short.mod-active');
      open(root);
      showTargets(root);
    }
    if (tries && (!ready.length || ready.length < waiting.length))
      setTimeout(start, 200, tries - 1);
  };
  if (!window.medalignKeys) {
    window.medalignKeys = true;
    document.addEventListener('keydown', (e) => {
      const keys = {n: 'ma-next', p: 'ma-previous'};
      const root = e.target.closest?.('.medalign') ?? explorers().find((x) => {
        const {top, bottom} = x.getBoundingClientRect();
        return bottom > 0 && top < innerHeight;
      });
      if (!root || typing(e) || e.ctrlKey || e.altKey || e.metaKey) return;
      if (keys[e.key]) press(root, keys[e.key]);
      else if (e.key === '/') root.querySelector('.ma-search-box input')?.focus();
      else return;
      e.preventDefault();
      e.stopPropagation();
    }, true);
    new MutationObserver((changes) => requestAnimationFrame(() => {
      for (const {addedNodes} of changes) addedNodes.forEach(showTargets);
    })).observe(document.body, {childList: true, subtree: true});
    window.addEventListener('hashchange', () => explorers().forEach((root) => {
      delete root.dataset.address;
      open(root);
    }));
  }
  start(100);
})();
"""
