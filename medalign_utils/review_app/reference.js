// The right side of the page on which a rater writes references; it follows writing.js.

const KEYS = [
  ['t', 'write the reference; Esc leaves the text'],
  ['m', 'mark what is selected in the note as evidence, or the whole note'],
  ['+', 'beside an event: mark it as evidence'],
  ['v', 'show the next evidence in the record'],
  ['c', 'the record cannot answer the instruction'],
  ['Ctrl Enter', 'done, and the next item; also Enter outside the text'],
  ['u', 'undo'], ['!', 'flag for discussion'], ['x', 'change an item that is done'],
  ['l', 'all items'], ['z', 'pause'], ['n p', 'next, previous hit in the record'],
  ['/', 'search the record'], ['?', 'these keys'],
];

class ReferencePage extends WritingPage {
  constructor(model, el) {
    super(model, el);
    this.observer = new MutationObserver(() => this.addButtons());
    this.selected = () => this.showSelection();
    document.addEventListener('selectionchange', this.selected);
  }

  close() {
    super.close();
    this.observer.disconnect();
    document.removeEventListener('selectionchange', this.selected);
  }

  begin(message) {
    super.begin(message);
    this.observer.observe(this.root, {childList: true, subtree: true}); // now it has the record
  }

  get fields() { return [this.text]; }
  get written() { return this.item.written; }

  // Items

  get unfinished() {
    const at = this.items.findIndex((item) => item.item === this.item?.item);
    const order = [...this.items.slice(at + 1), ...this.items.slice(0, at + 1)];
    return order.find((item) => item.state !== 'done');
  }

  start() {
    this.root.dataset.lmSuppressShortcuts = 'true';
    this.fillPage(true);
    if (this.unfinished) this.goTo(this.unfinished.item);
    else this.finish();
  }

  goTo(name) {
    this.draft.flush();
    if (!name) { this.finish(); return; }
    this.uncover();
    this.act('open', null, name);
    this.outbox.ask({kind: 'show', item: name});
  }

  showItem(message) {
    this.item = message;
    this.shown = -1;
    this.isWarned = false;
    setText(this.about, message.category);
    setText(this.question, message.question);
    setText(this.found, '');
    this.draft.set(this.written.reference);
    this.refresh();
    this.say(`Item ${message.number} of ${this.items.length}.`);
    this.panel.focus({preventScroll: true});
  }

  mayChange() {
    if (!this.written.done) return true;
    this.say('This item is done. Press x to change it.', true);
    return false;
  }

  saveText() {
    const reference = this.text.value;
    if (!this.item || reference === this.written.reference) return;
    this.written.reference = reference;
    this.act('reference', reference);
    this.refresh();
  }

  done() {
    this.draft.flush();
    const {written} = this;
    if (written.done) { this.goTo(this.unfinished?.item); return; }
    if (!written.unanswerable && !written.reference.trim()) {
      this.say('No reference yet. If the record cannot answer the instruction, press c.', true);
      this.text.focus();
      return;
    }
    if (!written.unanswerable && !written.evidence.length && !this.isWarned) {
      this.isWarned = true;
      this.say('No evidence is marked. Done again: leave it so.', true);
      return;
    }
    this.act('done');
    written.done = true;
    this.items.find((item) => item.item === this.item.item).state = 'done';
    this.showProgress();
    this.goTo(this.unfinished?.item);
  }

  reopen() {
    if (!this.written.done) return;
    this.act('reopen');
    this.written.done = false;
    this.items.find((item) => item.item === this.item.item).state = 'begun';
    this.showProgress();
    this.say('You can change this item.');
    this.refresh();
    this.text.focus();
  }

  setUnanswerable() {
    if (!this.mayChange()) return;
    this.written.unanswerable = !this.written.unanswerable;
    this.act('unanswerable', this.written.unanswerable);
    this.refresh();
  }

  flag() {
    if (this.written.flag === null) { this.flagText.value = ''; this.flagDialog.showModal(); }
    else this.setFlag(null);
  }

  setFlag(text) {
    this.act('flag', text);
    this.written.flag = text;
    this.items.find((item) => item.item === this.item.item).flag = text !== null;
    this.say(text === null ? 'Flag removed.' : 'Flagged for discussion.');
    this.refresh();
  }

  undo() {
    this.draft.flush();
    if (this.mayChange()) this.act('undo');
  }

  finish() {
    this.item = null;
    this.cover('end');
  }

  // Evidence

  // The selection within a note's text, widened to whole words.
  quote() {
    const selection = getSelection();
    if (!selection.rangeCount || selection.isCollapsed) return '';
    const range = selection.getRangeAt(0);
    const note = [...this.root.querySelectorAll('.ma-text')].find((text) => range.intersectsNode(text));
    if (!note) return '';
    const before = document.createRange();
    before.selectNodeContents(note);
    const end = note.contains(range.endContainer);
    if (note.contains(range.startContainer)) before.setEnd(range.startContainer, range.startOffset);
    else before.collapse(true);
    const whole = document.createRange();
    whole.selectNodeContents(note);
    if (end) whole.setEnd(range.endContainer, range.endOffset);
    const text = note.textContent;
    let [from, to] = [before.toString().length, whole.toString().length];
    while (from > 0 && /[^\s]/.test(text[from - 1]) && /[^\s]/.test(text[from] ?? ' ')) from -= 1;
    while (to < text.length && /[^\s]/.test(text[to]) && /[^\s]/.test(text[to - 1] ?? ' ')) to += 1;
    return text.slice(from, to).trim();
  }

  showSelection() {
    if (!this.item) return;
    const quote = this.quote();
    setText(this.markText, quote ? 'Mark the selection' : 'Mark the note');
    this.markButton.classList.toggle('mr-ready', quote !== '');
  }

  mark(place = null) {
    if (!this.mayChange()) return;
    this.draft.flush();
    this.outbox.ask({kind: 'cite', item: this.item.item, quote: place === null ? this.quote() : '', place});
    setText(this.found, 'Looking …');
  }

  receiveOther({kind, item, evidence, text}) {
    if (kind === 'found') setText(this.found, text);
    if (kind !== 'cited' || item !== this.item?.item) return;
    const same = this.written.evidence.some((other) => other.text === evidence.text);
    setText(this.found, text);
    if (same) { this.say('This evidence is in the list already.'); return; }
    this.setEvidence([...this.written.evidence, evidence]);
    getSelection().removeAllRanges();
  }

  setEvidence(evidence) {
    if (!this.mayChange()) return;
    this.written.evidence = evidence;
    this.act('evidence', evidence);
    this.refresh();
  }

  locate(i) {
    this.shown = i;
    setText(this.found, 'Searching the record …');
    this.outbox.ask({kind: 'locate', item: this.item.item, text: this.written.evidence[i].text});
    this.refresh();
  }

  locateNext() {
    const n = this.written.evidence.length;
    if (n) this.locate((this.shown + 1) % n);
    else this.say('No evidence is marked yet.', true);
  }

  // A button beside each event of the record's table.
  addButtons() {
    for (const box of this.root.querySelectorAll('.medalign-scroll[aria-label=Events]')) {
      box.querySelectorAll('tr').forEach((row, i) => {
        const cell = row.querySelector('td');
        if (!cell || cell.querySelector('.mr-cite')) return;
        const name = `Mark as evidence: ${row.innerText.replace(/\s+/g, ' ').slice(0, 80)}`;
        cell.prepend(make('button', {class: 'mr-cite', 'aria-label': name, title: 'Mark as evidence',
          onclick: () => this.mark(i - 1)}, '+'));
      });
    }
  }

  pressOther(key) {
    if (!this.item) return key === 'l' && (this.list(), true);
    const actions = {
      t: () => this.text.focus(), m: () => this.mark(), v: () => this.locateNext(),
      c: () => this.setUnanswerable(), u: () => this.undo(), '!': () => this.flag(),
      x: () => this.reopen(), l: () => this.list(), z: () => this.pause(),
      '?': () => this.help.showModal(), Enter: () => this.done(), send: () => this.done(),
    };
    if (!Object.hasOwn(actions, key)) return false;
    actions[key]();
    return true;
  }

  refresh() {
    if (!this.item) return;
    const {reference, evidence, unanswerable, done, flag} = this.written;
    this.draft.set(reference);
    this.text.readOnly = done;
    this.rows.replaceChildren(...evidence.map((one, i) => make('li', {
      class: 'mr-evidence', 'aria-current': `${i === this.shown}`},
    make('button', {class: 'mr-show', title: 'Show it in the record', onclick: () => this.locate(i)}, one.text),
    make('button', {class: 'mr-remove', 'aria-label': `Remove evidence ${i + 1}`, title: 'Remove',
      onclick: () => this.setEvidence(evidence.filter((other) => other !== one))}, '✕'))));
    if (!evidence.length) this.rows.replaceChildren(make('li', {class: 'mr-none'},
      'None yet. Select text in a note and press m, or press + beside an event.'));
    this.cannot.setAttribute('aria-pressed', unanswerable);
    this.flagButton.setAttribute('aria-pressed', flag !== null);
    const isReady = done || unanswerable || reference.trim() !== '';
    this.doneButton.classList.toggle('mr-ready', isReady);
    setText(this.doneText, done ? 'Next item' : 'Done');
    this.changeButton.hidden = !done;
  }

  list() {
    const sign = {done: '✓ done', begun: '◐ begun', new: '○ new'};
    this.listRows.replaceChildren(...this.items.map((item, i) => make('li', {}, make('button', {
      class: 'mr-row', 'aria-current': `${item.item === this.item?.item}`,
      onclick: () => { this.listDialog.close(); this.goTo(item.item); }},
    make('b', {}, `${i + 1}`), make('span', {}, item.question),
    make('small', {}, item.flag ? '⚑ flagged' : ''), make('small', {}, sign[item.state])))));
    this.listDialog.showModal();
  }

  build() {
    const top = make('header', {class: 'mr-top'}, this.far, this.state,
      this.button('', 'l', 'Items', () => this.list()), this.button('', 'z', 'Pause', () => this.pause()),
      this.button('', '?', 'Keys', () => this.help.showModal()), this.leaveButton);
    this.about = make('small');
    this.question = make('h2', {class: 'mr-question'});
    this.text = make('textarea', {class: 'mr-draft', 'aria-label': 'Reference response', autocomplete: 'off',
      placeholder: 'Write the response that you would want to this instruction (t). It is saved as you write.'});
    this.markText = make('span', {}, 'Mark the note');
    this.markButton = this.button('', 'm', this.markText, () => this.mark());
    this.found = make('span', {class: 'mr-found', role: 'status'});
    this.rows = make('ol', {class: 'mr-rows'});
    this.cannot = this.button('', 'c', 'The record cannot answer this', () => this.setUnanswerable(),
      {'aria-pressed': 'false', title: 'Leaves the instruction out of the references'});
    this.flagButton = this.button('', '!', '⚑ Flag', () => this.flag(), {'aria-pressed': 'false'});
    this.changeButton = this.button('', 'x', 'Change', () => this.reopen(), {hidden: true});
    this.doneText = make('span', {}, 'Done');
    this.doneButton = this.button('mr-done', 'Ctrl ↵', this.doneText, () => this.done(),
      {'aria-keyshortcuts': 'Control+Enter'});
    this.panel.append(top, this.alert,
      make('section', {class: 'mr-asked', 'aria-label': 'Instruction'}, this.about, this.question),
      this.text, make('div', {class: 'mr-tools', role: 'group', 'aria-label': 'Evidence'},
        make('b', {}, 'Evidence'), this.markButton,
        this.button('', 'v', 'Show in the record', () => this.locateNext())),
      this.rows, make('div', {class: 'mr-tools'}, this.cannot, this.found),
      this.message, make('footer', {class: 'mr-bottom'}, this.flagButton,
        this.button('', 'u', '↶ Undo', () => this.undo()), this.changeButton, this.doneButton));
    const steps = ['Read the instruction, and look in the record on the left for the answer.',
      'Write the response that you would want to get.',
      'Mark where the record says so: select text in a note, or press + beside an event.'];
    this.makeCovers({
      start: [make('h2', {}, 'Write reference responses'), this.title,
        make('ol', {}, steps.map((step) => make('li', {}, step))),
        make('p', {}, 'What is not documented can be a response too. If the record cannot answer the ' +
          'instruction at all, say so instead. All is saved as you write.'),
        make('button', {class: 'mr-big', onclick: () => this.start()}, 'Start ', kbd('Enter'))],
      pause: this.pauseCover(),
      end: [make('h2', {}, 'Thank you. All items are done.'),
        make('p', {}, 'You can close this page, or go back to an item and change it.'),
        make('button', {class: 'mr-big', onclick: () => this.list()}, 'All items ', kbd('l'))],
    });
    this.makeHelp(KEYS);
    this.listRows = make('ol', {class: 'mr-list'});
    this.listDialog = this.makeDialog('Items', this.listRows);
    this.flagText = make('input', {type: 'text', 'aria-label': 'What to discuss', autocomplete: 'off',
      placeholder: 'What should be discussed? (optional)'});
    this.flagDialog = this.makeDialog('Flag for discussion', make('form', {method: 'dialog',
      onsubmit: () => this.setFlag(this.flagText.value.trim())}, this.flagText,
    make('button', {class: 'mr-big'}, 'Flag')));
  }
}

export default {
  render({model, el}) {
    const page = new ReferencePage(model, el);
    return () => page.close();
  },
};
