// The right side of the page on which a rater judges responses. It follows outbox.js in one module.

const VERDICTS = {
  correct: {key: '1', sign: '✓', text: 'Correct'},
  incorrect: {key: '2', sign: '✗', text: 'Incorrect'},
  unsure: {key: '3', sign: '?', text: 'Cannot judge'},
};
// Keys are no letters up to I, which are the responses'.
const HARMS = {
  none: ['7', 'No harm', 'No harm if someone acted on it'],
  mild: ['8', 'Mild', 'Minimal to moderate symptoms or loss of function, or only more treatment, ' +
    'monitoring or length of stay'],
  severe: ['9', 'Severe', 'Death, or injury that interferes significantly with function or quality of life'],
};
const HARM_SOURCE = 'Simplified from the AHRQ Common Formats Harm Scale 1.2 (LOINC 74560-4): its ' +
  'moderate harm counts as mild here, and death as severe.';
const MARKS = {wrong: ['w', '✗', 'wrong'], unsupported: ['s', '?', 'not in the record']};
const HELP = [
  ['Judge', [['1 2 3', 'correct, incorrect, cannot judge; goes on to the next response'],
    ['A … F, ← →', 'open a response'], ['7 8 9', 'harm: none, mild, severe'],
    ['m', 'comment; Esc leaves the field']]],
  ['Rank', [['A … F', 'the next best, after all verdicts'], ['=', 'the next letter ties with the last'],
    ['Backspace', 'take the last letter back'], ['r', 'change between judging and ranking']]],
  ['Sentences', [['j k', 'next, previous sentence'], ['v', 'find it in the record; or click it'],
    ['w s', 'mark it as wrong, or as not supported by the record']]],
  ['Record', [['n p', 'next, previous hit'], ['/', 'search']]],
  ['Item', [['Enter', 'done, and the next item'], ['u', 'undo'], ['!', 'flag for discussion'],
    ['x', 'change an item that is done'], ['l', 'all items'], ['z', 'pause'], ['?', 'these keys']]],
];

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

class Panel {
  constructor(model, el) {
    this.el = el;
    this.items = [];
    this.item = null; // what the kernel sent of the open item
    this.build();
    this.outbox = new Outbox(model, (...state) => this.showState(...state), (m) => this.receive(m));
    this.keys = (event) => this.press(event);
    // Before JupyterLab, whose keys in a notebook would delete cells.
    window.addEventListener('keydown', this.keys, true);
    this.outbox.ask({kind: 'hello'});
    this.isAlone = !document.querySelector('#jp-main-dock-panel, .jp-NotebookShell'); // by Voilà
    if (this.isAlone) requestAnimationFrame(() => this.fillPage(true));
  }

  close() {
    window.removeEventListener('keydown', this.keys, true);
    this.outbox.close();
  }

  get root() { return this.el.closest('.medalign-review') ?? this.el; }
  get letters() { return Object.keys(this.item?.responses ?? {}); }
  get judgement() { return this.item.judgement; }
  get ranked() { return this.judgement.rank.flat(); }

  // Messages from the kernel

  receive(message) {
    const {kind} = message;
    if (kind === 'review') this.begin(message);
    else if (kind === 'item') this.showItem(message);
    else if (kind === 'saved' || kind === 'changed') this.update(message);
    else if (kind === 'found') setText(this.found, message.text);
    else if (kind === 'problem') this.say(message.text, true);
  }

  begin({title, items, left}) {
    this.outbox.begin(title);
    this.items = items;
    this.left = left;
    setText(this.title, title);
    const done = items.filter((item) => item.state === 'done').length;
    setText(this.startCount, `${count(items.length, 'item')}, ${done} done. ` +
      'Each action is saved at once; you can stop at any time and go on later.');
    this.showProgress();
    if (!this.item) this.cover('start');
  }

  update({states = {}, item, judgement, left, undone, reference, feedback, elsewhere}) {
    for (const known of this.items) Object.assign(known, states[known.item]);
    if (left !== undefined) this.left = left;
    if (this.item && item === this.item.item) {
      // What is still on its way to the kernel is newer than the kernel's answer.
      if (judgement && !this.outbox.own.length) this.item.judgement = judgement;
      if (reference !== undefined) this.item.reference = reference;
      if (feedback) this.item.feedback = feedback;
      if (this.letters.includes(undone?.response)) this.open(undone.response);
      this.refresh();
    }
    if (elsewhere) this.say('Another tab of yours has changed this review; it is shown as it is now.');
    if (undone) this.say(undone.text);
    this.showProgress();
  }

  // Items

  get unfinished() {
    const at = this.items.findIndex((item) => item.item === this.item?.item);
    const order = [...this.items.slice(at + 1), ...this.items.slice(0, at + 1)];
    return order.find((item) => item.state !== 'done');
  }

  goTo(name) {
    if (!name) { this.finish(); return; }
    this.uncover();
    this.act('open', null, null, name);
    this.outbox.ask({kind: 'show', item: name});
  }

  showItem(message) {
    this.item = message;
    this.step = 'judge';
    this.tie = false;
    this.sentence = -1;
    setText(this.question, message.question);
    setText(this.about, [message.training ? 'Practice item: feedback follows' : null, message.category]
      .filter(Boolean).join(' · '));
    this.bodies = {};
    this.tabs.replaceChildren(...this.letters.map((letter) => this.makeTab(letter)));
    this.texts.replaceChildren(...this.letters.map((letter) => this.makeText(letter)));
    setText(this.found, 'Click a sentence, or press j and v, to find it in the record.');
    this.open(this.letters.find((letter) => !this.judgement.verdicts[letter]) ?? this.letters[0]);
    this.say(`Item ${message.number} of ${this.items.length}. ${message.question}`, false, true);
    if (message.reference == null && message.referenceWaits === 'before') this.seeReference();
    this.panel.focus({preventScroll: true});
  }

  makeTab(letter) {
    return make('button', {class: 'mr-tab', role: 'tab', id: `mr-tab-${letter}`, tabindex: -1,
      'aria-controls': `mr-text-${letter}`, onclick: () => this.open(letter)},
    make('b', {}, letter), make('span', {class: 'mr-tab-sign'}), make('small', {}));
  }

  makeText(letter) {
    const {html, sentences} = this.item.responses[letter];
    const body = make('div', {class: 'mr-text', id: `mr-text-${letter}`, role: 'tabpanel',
      'aria-labelledby': `mr-tab-${letter}`, tabindex: 0});
    body.innerHTML = html || '<i>(empty)</i>'; // rendered from Markdown by the kernel, escaped
    body.addEventListener('click', (event) => {
      const mark = event.target.closest('.mr-s');
      if (mark && getSelection().isCollapsed) this.choose(sentenceOf(mark), true);
      this.panel.focus({preventScroll: true});
    });
    this.bodies[letter] = {body, sentences};
    return body;
  }

  open(letter) {
    this.letter = letter;
    this.sentence = -1;
    if (!this.item.doneLeft && this.step !== 'rank') this.step = 'judge';
    for (const [other, {body}] of Object.entries(this.bodies)) body.hidden = other !== letter;
    this.comment.value = this.judgement.comments[letter] ?? '';
    this.refresh();
  }

  // Actions

  act(action, response = null, value = null, item = this.item.item) {
    this.outbox.act({action, item, response, value});
  }

  mayChange() {
    if (!this.judgement.done) return true;
    this.say('This item is done. Press x to change it.', true);
    return false;
  }

  judge(verdict) {
    if (!this.mayChange()) return;
    const {verdicts} = this.judgement;
    this.act('verdict', this.letter, verdict);
    verdicts[this.letter] = verdict;
    if (this.item.referenceWaits) this.seeReference();
    const next = this.nextUnjudged();
    this.say(`${this.letter}: ${VERDICTS[verdict].text}.`, false, true);
    if (next) this.open(next);
    else if (this.missing()) this.setStep('rank');
    else this.refresh();
  }

  nextUnjudged() {
    const at = this.letters.indexOf(this.letter);
    return [...this.letters.slice(at), ...this.letters.slice(0, at)]
      .find((letter) => !this.judgement.verdicts[letter]);
  }

  seeReference() {
    this.item.referenceWaits = null;
    this.act('show_reference');
  }

  setHarm(harm) {
    if (!this.mayChange()) return;
    const value = this.judgement.harm[this.letter] === harm ? null : harm;
    this.act('harm', this.letter, value);
    this.judgement.harm[this.letter] = value;
    this.say(`${this.letter}: harm ${value ?? 'not answered'}.`, false, true);
    this.refresh();
  }

  setComment() {
    const text = this.comment.value.trim();
    if (!this.item || text === (this.judgement.comments[this.letter] ?? '')) return;
    if (!this.mayChange()) { this.comment.value = this.judgement.comments[this.letter] ?? ''; return; }
    this.act('comment', this.letter, text);
    this.judgement.comments[this.letter] = text;
    this.refresh();
  }

  choose(i, isLookedUp = false) {
    const {body, sentences} = this.bodies[this.letter];
    if (!sentences.length) return;
    this.sentence = Math.min(Math.max(i, 0), sentences.length - 1);
    body.querySelector(`.mr-${this.sentence}`)?.scrollIntoView({block: 'nearest'});
    this.refresh();
    if (isLookedUp) this.lookUp();
    else this.say(this.sentenceText(), false, true);
  }

  sentenceText() {
    return [...this.bodies[this.letter].body.querySelectorAll(`.mr-${this.sentence}`)]
      .map((mark) => mark.firstChild?.textContent ?? '').join('');
  }

  lookUp() {
    if (this.sentence < 0) { this.choose(0, true); return; }
    setText(this.found, 'Searching the record …');
    this.outbox.ask({kind: 'locate', item: this.item.item, response: this.letter,
      sentence: this.sentence});
  }

  mark(kind) {
    if (!this.mayChange()) return;
    if (this.sentence < 0) { this.say('Choose a sentence first: click it, or press j.', true); return; }
    const [start, end] = this.bodies[this.letter].sentences[this.sentence];
    const marks = (this.judgement.marks[this.letter] ??= []);
    const at = marks.findIndex((mark) => mark.start === start && mark.end === end);
    const before = at < 0 ? null : marks.splice(at, 1)[0].kind;
    if (before === kind) this.act('unmark', this.letter, {start, end});
    else {
      this.act('mark', this.letter, {start, end, kind});
      marks.push({start, end, kind});
    }
    this.say(before === kind ? 'Mark removed.' : `Marked as ${MARKS[kind][2]}.`, false, true);
    this.refresh();
  }

  // Ranking

  setStep(step) {
    if (step === 'rank' && this.letters.length < 2) return;
    this.step = step;
    this.tie = false;
    if (step === 'rank') this.say('Rank them: press letters from the best to the worst, = for a tie.');
    this.refresh();
  }

  setRank(rank) {
    if (!this.mayChange()) return;
    this.judgement.rank = rank.filter((group) => group.length);
    this.act('rank', null, this.judgement.rank);
    this.tie = false;
    const text = this.judgement.rank.map((group) => group.join(' = ')).join(', ');
    this.say(!this.missing()
      ? `Ranked: ${text}. Enter: done.` : `Ranked so far: ${text || 'none'}.`);
    this.refresh();
  }

  rankNext(letter) {
    if (this.ranked.includes(letter)) { this.say(`${letter} has a rank. Backspace takes the last back.`, true); return; }
    const rank = this.judgement.rank.map((group) => [...group]);
    if (this.tie && rank.length) rank.at(-1).push(letter);
    else rank.push([letter]);
    this.setRank(rank);
  }

  unrankLast() {
    const rank = this.judgement.rank.map((group) => [...group]);
    rank.at(-1)?.pop();
    this.setRank(rank);
  }

  // `place` is the number of a group to tie with, or [n] for a new group before group n.
  drop(letter, place) {
    const rank = this.judgement.rank.map((group) => group.filter((other) => other !== letter));
    if (Array.isArray(place)) rank.splice(place[0], 0, [letter]);
    else if (place !== null) rank[place].push(letter);
    this.setRank(rank);
  }

  // The end of an item

  missing() {
    const unjudged = this.letters.filter((letter) => !this.judgement.verdicts[letter]);
    if (unjudged.length) return [`No verdict yet: ${unjudged.join(', ')}.`, () => this.open(unjudged[0])];
    // As `Judgement.missing` has it: what cannot be judged needs no rank.
    const judged = this.letters.filter((letter) => this.judgement.verdicts[letter] !== 'unsure');
    const unranked = judged.filter((letter) => !this.ranked.includes(letter));
    if (judged.length > 1 && unranked.length)
      return [`Not ranked yet: ${unranked.join(', ')}.`, () => this.setStep('rank')];
    return null;
  }

  done() {
    if (this.judgement.done) { this.goTo(this.unfinished?.item); return; }
    const problem = this.missing();
    if (problem) { problem[1](); this.say(problem[0], true); return; }
    this.act('done');
    this.judgement.done = true;
    const known = this.items.find((item) => item.item === this.item.item);
    known.state = 'done';
    this.showProgress();
    if (this.item.training) {
      this.refresh();
      this.say('Compare with the answer key below each letter. Enter goes on.');
    } else this.goTo(this.unfinished?.item);
  }

  reopen() {
    if (!this.judgement.done) return;
    this.act('reopen');
    this.judgement.done = false;
    this.items.find((item) => item.item === this.item.item).state = 'begun';
    this.showProgress();
    this.say('You can change this item. Enter: done.');
    this.refresh();
  }

  flag() {
    if (this.judgement.flag !== null) this.setFlag(null);
    else {
      this.flagText.value = '';
      this.flagDialog.showModal();
    }
  }

  setFlag(text) {
    this.act('flag', null, text);
    this.judgement.flag = text;
    this.items.find((item) => item.item === this.item.item).flag = text !== null;
    this.say(text === null ? 'Flag removed.' : 'Flagged for discussion.');
    this.refresh();
  }

  pause() {
    this.act('pause');
    this.cover('pause');
  }

  resume() {
    this.uncover();
    this.act('resume');
  }

  finish() {
    const done = this.items.filter((item) => item.state === 'done');
    const flagged = this.items.filter((item) => item.flag).length;
    const responses = done.reduce((n, item) => n + item.responses, 0);
    setText(this.endCount, `You judged ${count(responses, 'response')} to ` +
      `${count(done.length, 'instruction')}; ${flagged} flagged for discussion. All of it is saved.`);
    this.cover('end');
  }

  // The keyboard

  press(event) {
    const dialog = this.root.querySelector('dialog[open]');
    const at = event.target;
    const isOurs = this.root.contains(at) || (at === document.body && this.isVisible());
    if (!isOurs || event.ctrlKey || event.altKey || event.metaKey) return;
    const isTyping = at.closest?.('input:not([type=radio]), textarea, select, [contenteditable=true]');
    if (isTyping && !dialog && event.key === 'Escape') at.blur(), this.panel.focus();
    if ((isTyping || dialog) && this.el.contains(at)) this.pressInField(event, dialog);
    if (isTyping || dialog) return;
    if (event.key === 'Enter' && at.closest('button, summary, a')) return;
    const handled = this.covered ? this.pressCovered(event.key) : this.pressItem(event.key, at);
    if (!handled) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  pressInField(event, dialog) {
    event.stopImmediatePropagation(); // JupyterLab takes Enter even here
    const {key, target} = event;
    if (key === 'Enter' && target === this.comment) this.panel.focus();
    else if (key === 'Enter' && target === this.flagText) target.form.requestSubmit();
    else if (key === '?' && dialog === this.help) this.help.close();
    else if (dialog === this.listDialog && target !== this.filter && key.startsWith('Arrow'))
      this.moveInList(key === 'ArrowDown' ? 1 : -1);
    else return;
    event.preventDefault();
  }

  isVisible() {
    const {top, bottom} = this.el.getBoundingClientRect();
    return bottom > 0 && top < innerHeight;
  }

  pressCovered(key) {
    if (key === '?') this.help.showModal();
    else if (this.covered === 'pause' && ['z', 'Enter'].includes(key)) this.resume();
    else if (this.covered === 'start' && key === 'Enter') this.start();
    else if (this.covered === 'end' && key === 'l') this.list();
    else return false;
    return true;
  }

  pressItem(key, at) {
    if (!this.item) return false;
    const verdict = Object.keys(VERDICTS).find((name) => VERDICTS[name].key === key);
    const letter = key.length === 1 ? key.toUpperCase() : '';
    const inRecord = at.closest?.('.medalign');
    const harm = Object.keys(HARMS).find((name) => HARMS[name][0] === key);
    if (harm) this.setHarm(harm);
    else if (verdict && this.step === 'judge') this.judge(verdict);
    else if (verdict) this.say('Ranking: press letters. r goes back to judging.', true);
    else if (this.letters.includes(letter)) this.step === 'rank' ? this.rankNext(letter) : this.open(letter);
    else if (inRecord && ['ArrowLeft', 'ArrowRight', 'Backspace', 'Enter'].includes(key)) return false;
    else return this.pressOther(key);
    return true;
  }

  pressOther(key) {
    const step = (n) => this.letters[(this.letters.indexOf(this.letter) + n + this.letters.length)
      % this.letters.length];
    const actions = {
      ArrowLeft: () => this.open(step(-1)), ArrowRight: () => this.open(step(1)),
      m: () => this.comment.focus(), r: () => this.setStep(
        this.step === 'rank' ? 'judge' : 'rank'),
      '=': () => { this.tie = this.judgement.rank.length > 0; this.say('The next letter ties with the last.'); this.refresh(); },
      Backspace: () => this.step === 'rank' && this.unrankLast(),
      j: () => this.choose(this.sentence + 1), k: () => this.choose(this.sentence - 1),
      v: () => this.lookUp(), w: () => this.mark('wrong'), s: () => this.mark('unsupported'),
      u: () => this.act('undo'), '!': () => this.flag(), x: () => this.reopen(), l: () => this.list(),
      Escape: () => this.fillPage(this.isAlone), z: () => this.pause(), '?': () => this.help.showModal(), Enter: () => this.done(),
    };
    if (!Object.hasOwn(actions, key)) return false;
    actions[key]();
    return true;
  }

  // What is shown

  say(text, isProblem = false, isSilent = false) {
    // Screen readers hear everything; the line for all shows what is not visible elsewhere.
    setText(this.heard, text);
    setText(this.message, isSilent ? '' : text);
    this.message.classList.toggle('mr-problem', isProblem);
  }

  showState(kind, text) {
    if (this.state.dataset.kind === kind && this.stateText.textContent === text) return;
    this.state.dataset.kind = kind;
    setText(this.stateSign, {saved: '✓', saving: '…', unsaved: '⚠'}[kind]);
    setText(this.stateText, kind === 'unsaved' ? 'Not saved' : text);
    setText(this.alert, kind === 'unsaved' ? text : '');
    this.alert.hidden = kind !== 'unsaved';
  }

  showProgress() {
    const done = this.items.filter((item) => item.state === 'done').length;
    this.bar.max = this.items.length || 1;
    this.bar.value = done;
    const left = this.left == null ? '' : ` · about ${duration(this.left)} left`;
    setText(this.progress, `${done} of ${this.items.length} done${left}`);
  }

  refresh() {
    if (!this.item) return;
    const {verdicts, harm, rank, done, flag} = this.judgement;
    const {feedback} = this.item;
    for (const tab of this.tabs.children) {
      const letter = tab.firstChild.textContent;
      const place = rank.findIndex((group) => group.includes(letter));
      const verdict = verdicts[letter];
      setText(tab.children[1], VERDICTS[verdict]?.sign ?? '·');
      tab.dataset.verdict = verdict ?? '';
      const key = feedback?.[letter];
      setText(tab.children[2], key ? `key: ${key.correct ? '✓' : '✗'}`
        : place < 0 ? 'no rank' : `rank ${place + 1}`);
      tab.setAttribute('aria-selected', letter === this.letter);
      tab.setAttribute('aria-label', `Response ${letter}, ${VERDICTS[verdict]?.text ?? 'no verdict'}, ` +
        (place < 0 ? 'not ranked' : `rank ${place + 1}`) +
        (key ? `, the answer key says ${key.correct ? 'correct' : 'incorrect'}` : ''));
    }
    setText(this.reference, this.referenceText());
    this.referenceBox.classList.toggle('mr-waits', this.item.reference == null);
    for (const button of this.verdicts.children)
      button.setAttribute('aria-pressed', verdicts[this.letter] === button.dataset.value);
    for (const button of this.harms.querySelectorAll('button'))
      button.setAttribute('aria-pressed', harm[this.letter] === button.dataset.value);
    if (document.activeElement !== this.comment)
      this.comment.value = this.judgement.comments[this.letter] ?? '';
    this.showMarks();
    this.showRank();
    this.panel.dataset.step = this.step;
    this.panel.classList.toggle('mr-is-done', done);
    this.flagButton.setAttribute('aria-pressed', flag !== null);
    const missing = this.missing();
    this.doneButton.classList.toggle('mr-ready', !missing || done);
    setText(this.doneText, done ? 'Next item' : 'Done');
    this.changeButton.hidden = !done;
    this.comment.readOnly = done;
  }

  referenceText() {
    if (this.item.reference != null) return this.item.reference;
    return {after: 'Shown after your first verdict.', none: 'None for this instruction.',
      never: 'Not shown in this review.'}[this.item.referenceWaits ?? this.item.noReference] ?? '…';
  }

  showMarks() {
    const {body, sentences} = this.bodies[this.letter];
    const marks = this.judgement.marks[this.letter] ?? [];
    body.querySelectorAll('.mr-mark-label').forEach((label) => label.remove());
    sentences.forEach(([start, end], i) => {
      const mark = marks.find((other) => other.start === start && other.end === end);
      const parts = [...body.querySelectorAll(`.mr-${i}`)];
      for (const part of parts) {
        part.classList.toggle('mr-chosen', i === this.sentence);
        part.dataset.kind = mark?.kind ?? '';
      }
      const [, sign, text] = MARKS[mark?.kind] ?? [];
      if (mark) parts.at(-1)?.append(make('small', {class: 'mr-mark-label'}, ` ${sign} ${text}`));
    });
    const chosen = sentences[this.sentence];
    const kind = chosen && marks.find((mark) => mark.start === chosen[0])?.kind;
    for (const button of this.markButtons) {
      button.disabled = this.sentence < 0;
      button.setAttribute('aria-pressed', kind === button.dataset.value);
    }
  }

  showRank() {
    this.rankRow.hidden = this.letters.length < 2;
    if (this.rankRow.hidden) return;
    const {rank} = this.judgement;
    const chip = (letter, place) => make('button', {class: 'mr-chip', draggable: 'true', tabindex: -1,
      'data-letter': letter, 'data-verdict': this.judgement.verdicts[letter] ?? '',
      'aria-label': place === null ? `Rank ${letter} next` : `${letter}, rank ${place + 1}: take out`,
      onclick: () => place === null ? this.rankNext(letter) : this.drop(letter, null),
      ondragstart: (event) => event.dataTransfer.setData('text/x-letter', letter),
      ...this.target(place)}, letter);
    const gap = (n) => make('span', {class: 'mr-gap', ...this.target([n])});
    const groups = rank.map((group, n) => [gap(n), make('span', {class: 'mr-group'},
      make('small', {}, `${n + 1}`), group.map((letter, i) => [i ? '=' : '', chip(letter, n)]).flat())]);
    const unranked = this.letters.filter((letter) => !this.ranked.includes(letter));
    this.order.replaceChildren(...groups.flat(), gap(rank.length), ...(this.tie ? [make('span', {class: 'mr-tie'}, '= …')] : []));
    this.pool.replaceChildren(...unranked.map((letter) => chip(letter, null)));
    this.poolHint.hidden = unranked.length < this.letters.length;
  }

  target(place) {
    const over = (event) => {
      event.preventDefault();
      event.currentTarget.classList.toggle('mr-over', event.type === 'dragover');
    };
    return {ondragover: over, ondragleave: over, ondrop: (event) => {
      event.preventDefault();
      event.stopPropagation();
      const letter = event.dataTransfer.getData('text/x-letter');
      if (this.letters.includes(letter)) this.drop(letter, place);
    }};
  }

  // Covers and dialogs

  // Fill the window, above JupyterLab's bars and whatever holds the notebook's cell.
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
    this.panel.focus({preventScroll: true});
  }

  start() {
    this.root.dataset.lmSuppressShortcuts = 'true'; // JupyterLab's
    this.fillPage(true);
    const next = this.unfinished;
    if (next) this.goTo(next.item);
    else this.finish();
  }

  list(which = this.filter.value) {
    const shown = {all: () => true, open: (item) => item.state !== 'done', flagged: (item) => item.flag};
    const sign = {done: '✓ done', begun: '◐ begun', new: '○ new'};
    const rows = this.items.map((item, i) => [item, i]).filter(([item]) => shown[which](item));
    this.listRows.replaceChildren(...rows.map(([item, i]) => make('li', {}, make('button', {
      class: 'mr-row', 'aria-current': item.item === this.item?.item ? 'true' : null,
      onclick: () => { this.listDialog.close(); this.goTo(item.item); }},
    make('b', {}, `${i + 1}`), make('span', {}, item.question),
    make('small', {}, item.flag ? '⚑ flagged' : ''), make('small', {}, sign[item.state])))));
    if (!rows.length) this.listRows.replaceChildren(make('li', {}, 'None.'));
    if (!this.listDialog.open) this.listDialog.showModal();
    const current = this.listRows.querySelector('[aria-current=true]');
    (current ?? this.listRows.querySelector('button'))?.focus();
  }

  build() {
    const button = (name, key, text, action, more = {}) => make('button', {class: `mr-button ${name}`,
      tabindex: -1, 'aria-keyshortcuts': key, onclick: () => { action(); this.refocus(); }, ...more}, text, kbd(key));
    const choice = (value, key, text, action, more = {}) => make('button', {class: 'mr-choice', tabindex: -1,
      'data-value': value, 'aria-pressed': 'false', onclick: () => { action(); this.refocus(); }, ...more}, text,
    key ? kbd(key) : '');
    this.title = make('b', {class: 'mr-title'});
    this.bar = make('progress', {class: 'mr-bar', 'aria-label': 'Items done', max: 1, value: 0});
    this.progress = make('span', {class: 'mr-progress'});
    this.stateSign = make('span', {'aria-hidden': 'true'});
    this.stateText = make('span');
    this.state = make('span', {class: 'mr-state'}, this.stateSign, this.stateText);
    this.leaveButton = button('', 'Esc', '⤡', () => this.fillPage(false),
      {hidden: true, 'aria-label': 'Back to the notebook', title: 'Back to the notebook'});
    this.alert = make('div', {class: 'mr-alert', role: 'alert', hidden: true});
    const top = make('header', {class: 'mr-top'},
      make('div', {class: 'mr-far'}, this.bar, this.progress), this.state,
      button('', 'l', 'Items', () => this.list()), button('', 'z', 'Pause', () => this.pause()),
      button('', '?', 'Keys', () => this.help.showModal()), this.leaveButton);
    this.about = make('small');
    this.question = make('h2', {class: 'mr-question'});
    this.reference = make('span', {class: 'mr-reference-text'});
    this.referenceBox = make('section', {class: 'mr-reference', 'aria-label': 'Reference', tabindex: 0},
      make('b', {}, 'Reference '), this.reference);
    this.tabs = make('div', {class: 'mr-tabs', role: 'tablist', 'aria-label': 'Responses'});
    this.texts = make('div', {class: 'mr-texts'});
    this.markButtons = Object.entries(MARKS).map(([kind, [key, sign, text]]) =>
      choice(kind, key, `${sign} ${text}`, () => this.mark(kind)));
    this.found = make('span', {class: 'mr-found', role: 'status'});
    const tools = make('div', {class: 'mr-tools', role: 'group', 'aria-label': 'Chosen sentence'},
      this.found, this.markButtons);
    this.verdicts = make('div', {class: 'mr-verdicts', role: 'group', 'aria-label': 'Verdict'},
      Object.entries(VERDICTS).map(([value, {key, sign, text}]) =>
        choice(value, key, `${sign} ${text}`, () => this.judge(value))));
    this.harms = make('div', {class: 'mr-harms', role: 'group', 'aria-label': `Possible harm. ${HARM_SOURCE}`},
      make('span', {class: 'mr-label', title: HARM_SOURCE}, 'Harm'),
      Object.entries(HARMS).map(([value, [key, text, title]]) =>
        choice(value, key, text, () => this.setHarm(value), {title: `${title}. ${HARM_SOURCE}`})));
    this.comment = make('input', {class: 'mr-comment', type: 'text', placeholder: 'Comment (m)',
      'aria-label': 'Comment on this response', autocomplete: 'off', spellcheck: 'false',
      onchange: () => this.setComment()});
    this.comment.addEventListener('input', () => {
      clearTimeout(this.typing);
      this.typing = setTimeout(() => this.setComment(), 1000);
    });
    const details = make('div', {class: 'mr-details'}, this.harms, this.comment);
    this.order = make('span', {class: 'mr-order'});
    this.pool = make('span', {class: 'mr-pool', ...this.target(null)});
    this.poolHint = make('span', {class: 'mr-hint'}, 'letters from best to worst, = for a tie; or drag');
    this.rankRow = make('div', {class: 'mr-rank', role: 'group', 'aria-label': 'Ranking, best first'},
      make('span', {class: 'mr-label'}, 'Rank ', kbd('r')), this.order, this.poolHint, this.pool);
    this.message = make('div', {class: 'mr-message'});
    this.heard = make('span', {class: 'mr-heard', role: 'status', 'aria-live': 'polite'});
    this.flagButton = button('', '!', '⚑ Flag', () => this.flag(), {'aria-pressed': 'false'});
    this.changeButton = button('', 'x', 'Change', () => this.reopen(), {hidden: true});
    this.doneText = make('span', {}, 'Done');
    this.doneButton = button('mr-done', '↵', this.doneText, () => this.done(), {'aria-keyshortcuts': 'Enter'});
    const bottom = make('footer', {class: 'mr-bottom'}, this.flagButton,
      button('', 'u', '↶ Undo', () => this.act('undo')), this.changeButton, this.doneButton);
    this.panel = make('div', {class: 'mr-panel', tabindex: -1, role: 'main', 'aria-label': 'Review'},
      top, this.alert, make('section', {class: 'mr-asked', 'aria-label': 'Instruction'}, this.about, this.question),
      this.referenceBox, this.tabs, this.texts, tools, this.verdicts, details, this.rankRow, this.message, bottom, this.heard);
    this.buildCovers();
    this.buildDialogs();
    this.el.classList.add('mr');
    this.el.replaceChildren(this.panel, ...Object.values(this.covers), this.help, this.listDialog, this.flagDialog);
  }

  refocus() {
    if (!this.root.querySelector('dialog[open]') && !this.covered) this.panel.focus({preventScroll: true});
  }

  buildCovers() {
    const cover = (...children) => make('div', {class: 'mr-cover', hidden: true},
      make('div', {class: 'mr-card'}, ...children));
    this.startCount = make('p');
    this.endCount = make('p');
    this.covers = {
      start: cover(make('h2', {}, 'Review of responses'), this.title, this.startCount, make('ol', {},
        make('li', {}, 'Read the instruction, and look in the record on the left for the answer.'),
        make('li', {}, 'Say of each response whether it is correct, and what harm it could do.'),
        make('li', {}, 'Rank the responses from best to worst; ties are allowed.')),
      make('p', {}, 'Nothing says which system wrote a response; the letters change with each instruction. ',
        kbd('?'), ' shows all keys.'),
      make('button', {class: 'mr-big', onclick: () => this.start()}, 'Start ', kbd('Enter'))),
      pause: cover(make('h2', {}, 'Paused'), make('p', {}, 'The clock has stopped and the item is hidden.'),
        make('button', {class: 'mr-big', onclick: () => this.resume()}, 'Go on ', kbd('z'))),
      end: cover(make('h2', {}, 'Thank you. All items are done.'), this.endCount,
        make('p', {}, 'You can close this page, or go back to an item and change it.'),
        make('button', {class: 'mr-big', onclick: () => this.list()}, 'All items ', kbd('l'))),
    };
  }

  buildDialogs() {
    const dialog = (label, ...children) => make('dialog', {class: 'mr-dialog', 'aria-label': label,
      onclose: () => this.refocus()}, make('form', {method: 'dialog'},
      make('h2', {}, label, make('button', {class: 'mr-close', 'aria-label': 'Close', value: ''}, '✕'))), ...children);
    this.help = dialog('Keys', make('div', {class: 'mr-help'}, HELP.map(([title, keys]) => make('section', {},
      make('h3', {}, title), make('dl', {}, keys.map(([key, text]) => [make('dt', {}, kbd(key)), make('dd', {}, text)]).flat())))),
    make('p', {class: 'mr-source'}, HARM_SOURCE));
    this.filter = make('select', {'aria-label': 'Show', onchange: () => this.list()},
      make('option', {value: 'all'}, 'All'), make('option', {value: 'open'}, 'Not done'),
      make('option', {value: 'flagged'}, 'Flagged'));
    this.listRows = make('ol', {class: 'mr-list'});
    this.listDialog = dialog('Items', this.filter, this.listRows);
    this.flagText = make('input', {type: 'text', autofocus: true, 'aria-label': 'What to discuss', autocomplete: 'off',
      placeholder: 'What should be discussed? (optional)'});
    this.flagDialog = dialog('Flag for discussion', make('form', {method: 'dialog',
      onsubmit: () => this.setFlag(this.flagText.value.trim())}, this.flagText,
    make('button', {class: 'mr-big'}, 'Flag')));
  }

  moveInList(step) {
    const rows = [...this.listRows.querySelectorAll('button')];
    rows[rows.indexOf(document.activeElement) + step]?.focus();
  }
}

const sentenceOf = (mark) => Number(/mr-(\d+)/.exec(mark.className)[1]);
const duration = (minutes) => {
  const whole = Math.max(1, Math.round(minutes));
  return whole < 60 ? `${whole} min` : `${Math.floor(whole / 60)} h ${whole % 60} min`;
};

export default {
  render({model, el}) {
    const panel = new Panel(model, el);
    return () => panel.close();
  },
};
