// What the pages for references and for instructions share. It follows outbox.js in one module.

const TYPING_STOPS = 700; // ms without a key until a text is saved
const TYPING_LASTS = 4000; // ms until it is saved though the rater goes on typing

const make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, '');
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat());
  return element;
};
const kbd = (key) => make('kbd', {'aria-hidden': 'true'}, key);
const setText = (element, text) => {
  if (element.textContent !== text) element.textContent = text;
};
const count = (n, noun) => `${n} ${noun}${n === 1 ? '' : 's'}`;

// Saves what is typed into fields, at each pause.
class Draft {
  constructor(fields, save, onTyping) {
    Object.assign(this, {fields, save, onTyping, isWaiting: false});
    for (const field of fields) {
      field.addEventListener('input', () => this.typed());
      field.addEventListener('change', () => this.flush());
      field.addEventListener('blur', () => this.flush());
    }
  }

  typed() {
    if (!this.isWaiting) this.since = Date.now();
    this.isWaiting = true;
    clearTimeout(this.timer);
    const left = this.since + TYPING_LASTS - Date.now();
    this.timer = setTimeout(() => this.flush(), Math.max(0, Math.min(TYPING_STOPS, left)));
    this.onTyping();
  }

  flush() {
    clearTimeout(this.timer);
    if (!this.isWaiting) return;
    this.isWaiting = false;
    this.save();
  }

  // Show a text from the kernel, unless the rater has typed since.
  set(...texts) {
    if (this.isWaiting) return;
    this.fields.forEach((field, i) => { if (field.value !== texts[i]) field.value = texts[i]; });
  }
}

class WritingPage {
  // Subclasses have `build`, `fields`, `saveText`, `showItem`, `refresh` and `pressOther`.
  constructor(model, el) {
    this.el = el;
    this.items = [];
    this.item = null; // what the kernel sent of the open item
    this.buildFrame();
    this.build();
    this.draft = new Draft(this.fields, () => this.saveText(), () => this.showState('saving', ''));
    this.outbox = new Outbox(model, (...state) => this.showState(...state), (m) => this.receive(m));
    this.keys = (event) => this.press(event);
    this.leave = () => this.draft.flush(); // before the outbox asks whether to leave
    // Before JupyterLab, whose keys in a notebook would delete cells.
    window.addEventListener('keydown', this.keys, true);
    window.addEventListener('beforeunload', this.leave, true);
    el.classList.add('mr', 'mr-writing');
    this.outbox.ask({kind: 'hello'});
    this.isAlone = !document.querySelector('#jp-main-dock-panel, .jp-NotebookShell'); // by Voilà
    if (this.isAlone) requestAnimationFrame(() => this.el.isConnected && this.fillPage(true));
  }

  close() {
    this.draft.flush();
    window.removeEventListener('keydown', this.keys, true);
    window.removeEventListener('beforeunload', this.leave, true);
    this.outbox.close();
  }

  get root() { return this.el.closest('.medalign-review') ?? this.el; }

  act(action, value = null, item = this.item.item) {
    this.outbox.act({action, item, response: null, value});
  }

  receive(message) {
    const {kind} = message;
    if (kind === 'review') this.begin(message);
    else if (kind === 'item') this.showItem(message);
    else if (kind === 'saved' || kind === 'changed') this.update(message);
    else if (kind === 'problem') this.say(message.text, true);
    else this.receiveOther(message);
  }

  receiveOther() {}

  begin({title, items, left}) {
    this.outbox.begin(title);
    this.items = items;
    this.left = left;
    setText(this.title, title);
    this.showProgress();
    if (!this.item) this.cover('start');
  }

  update({states, items, item, written, left, undone, elsewhere}) {
    for (const known of this.items) Object.assign(known, states?.[known.item]);
    if (items) this.items = items;
    if (left !== undefined) this.left = left;
    // What is still on its way to the kernel is newer than the kernel's answer.
    if (this.item && item === this.item.item && written && !this.outbox.own.length) {
      Object.assign(this.item, {written});
      this.refresh();
    }
    if (elsewhere) this.say('Another tab of yours has changed this review; it is shown as it is now.');
    if (undone) this.say(undone.text);
    this.showProgress();
  }

  say(text, isProblem = false) {
    setText(this.message, text);
    this.message.classList.toggle('mr-problem', isProblem);
  }

  showState(kind, text) {
    const shown = kind === 'saved' && this.draft?.isWaiting ? 'saving' : kind;
    this.state.dataset.kind = shown;
    setText(this.stateSign, {saved: '✓', saving: '…', unsaved: '⚠'}[shown]);
    setText(this.stateText, {saved: 'Saved', saving: 'Saving …', unsaved: 'Not saved'}[shown]);
    setText(this.alert, shown === 'unsaved' ? text : '');
    this.alert.hidden = shown !== 'unsaved';
  }

  showProgress() {
    const done = this.items.filter((item) => item.state === 'done').length;
    this.bar.max = this.items.length || 1;
    this.bar.value = done;
    const minutes = Math.max(1, Math.round(this.left ?? 0));
    const left = this.left == null ? '' : ` · about ${minutes < 60 ? `${minutes} min`
      : `${Math.floor(minutes / 60)} h ${minutes % 60} min`} left`;
    setText(this.progress, this.progressText(done) + left);
  }

  progressText(done) { return `${done} of ${this.items.length} done`; }

  press(event) {
    const at = event.target;
    const {top, bottom} = this.el.getBoundingClientRect();
    const isOurs = this.root.contains(at)
      || (at === document.body && bottom > 0 && top < innerHeight);
    if (!isOurs) return;
    const isSend = event.key === 'Enter' && (event.ctrlKey || event.metaKey);
    if ((event.ctrlKey || event.altKey || event.metaKey) && !isSend) return;
    const isTyping = at.closest?.('input:not([type=radio]), textarea, select, [contenteditable=true]');
    const isButton = event.key === 'Enter' && at.closest?.('button, summary, a');
    if (this.root.querySelector('dialog[open]') || (isButton && !isSend)) return;
    let handled = true;
    if (isTyping && event.key === 'Escape') this.panel.focus({preventScroll: true});
    else if (isTyping && !isSend) return;
    else if (event.key === 'Escape') this.fillPage(this.isAlone);
    else if (this.covered) handled = this.pressCovered(event.key);
    else handled = this.pressOther(isSend ? 'send' : event.key);
    if (!handled) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  pressCovered(key) {
    if (key === '?') this.help.showModal();
    else if (this.covered === 'pause' && ['z', 'Enter'].includes(key)) this.resume();
    else if (this.covered === 'start' && key === 'Enter') this.start();
    else return false;
    return true;
  }

  pause() {
    this.draft.flush();
    this.act('pause');
    this.cover('pause');
  }

  resume() {
    this.uncover();
    this.act('resume');
  }

  fillPage(isOn) {
    const {root} = this;
    if (!root.showPopover || root.classList.contains('mr-whole-page') === isOn) return;
    root.popover = 'manual';
    root.classList.toggle('mr-whole-page', isOn);
    if (isOn) root.showPopover();
    else root.removeAttribute('popover');
    this.leaveButton.hidden = this.isAlone || !isOn;
  }

  cover(kind) {
    this.covered = kind;
    this.root.dataset.covered = kind;
    for (const [name, cover] of Object.entries(this.covers)) cover.hidden = name !== kind;
    this.covers[kind].querySelector('button')?.focus({preventScroll: true});
  }

  uncover() {
    this.covered = null;
    delete this.root.dataset.covered;
    for (const cover of Object.values(this.covers)) cover.hidden = true;
  }

  button(name, key, text, action, more = {}) {
    return make('button', {class: `mr-button ${name}`, tabindex: -1, 'aria-keyshortcuts': key,
      // The selection in the record, and the focus in the text, stay.
      onmousedown: (event) => event.preventDefault(), onclick: action, ...more}, text, kbd(key));
  }

  buildFrame() {
    this.title = make('b', {class: 'mr-title'});
    this.bar = make('progress', {class: 'mr-bar', 'aria-label': 'Done', max: 1, value: 0});
    this.progress = make('span', {class: 'mr-progress'});
    this.stateSign = make('span', {'aria-hidden': 'true'});
    this.stateText = make('span', {role: 'status'});
    this.state = make('span', {class: 'mr-state'}, this.stateSign, this.stateText);
    this.alert = make('div', {class: 'mr-alert', role: 'alert', hidden: true});
    this.message = make('span', {class: 'mr-message', role: 'status'});
    this.far = make('div', {class: 'mr-far'}, this.bar, this.progress);
    this.leaveButton = this.button('', 'Esc', '⤡', () => this.fillPage(false),
      {hidden: true, 'aria-label': 'Back to the notebook', title: 'Back to the notebook'});
    this.panel = make('div', {class: 'mr-panel', tabindex: -1, role: 'main', 'aria-label': 'Review'});
    this.el.replaceChildren(this.panel);
  }

  makeCovers(covers) {
    this.covers = Object.fromEntries(Object.entries(covers).map(([name, children]) => [name,
      make('div', {class: 'mr-cover', hidden: true}, make('div', {class: 'mr-card'}, ...children))]));
    this.el.append(...Object.values(this.covers));
  }

  makeDialog(label, ...children) {
    const dialog = make('dialog', {class: 'mr-dialog', 'aria-label': label},
      make('form', {method: 'dialog'}, make('h2', {}, label,
        make('button', {class: 'mr-close', 'aria-label': 'Close', value: ''}, '✕'))), ...children);
    this.el.append(dialog);
    return dialog;
  }

  makeHelp(keys) {
    this.help = this.makeDialog('Keys', make('dl', {}, keys.map(([key, text]) =>
      [make('dt', {}, kbd(key)), make('dd', {}, text)]).flat()));
    this.help.addEventListener('keydown', (event) => { if (event.key === '?') this.help.close(); });
  }

  pauseCover() {
    return [make('h2', {}, 'Paused'), make('p', {}, 'The clock has stopped and the item is hidden.'),
      make('button', {class: 'mr-big', onclick: () => this.resume()}, 'Go on ', kbd('z'))];
  }
}
