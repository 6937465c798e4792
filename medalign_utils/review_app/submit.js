// The page on which a clinician submits instructions, without a record; it follows writing.js.

const KEYS = [
  ['Ctrl Enter', 'submit the instruction and begin the next one'],
  ['t', 'write; Esc leaves the text'], ['u', 'undo the last change'], ['z', 'pause'],
  ['?', 'these keys'],
];

class SubmitPage extends WritingPage {
  get fields() { return [this.specialty, this.text]; }
  get written() { return this.item.written; }

  start() {
    this.root.dataset.lmSuppressShortcuts = 'true';
    this.fillPage(true);
    const draft = this.items.find((item) => item.state === 'begun');
    if (draft) this.open(draft.item);
    else this.next();
  }

  newName() {
    const bytes = crypto.getRandomValues(new Uint8Array(6)); // also another tab's will differ
    return `${this.rater}-${Array.from(bytes, (x) => x.toString(16).padStart(2, '0')).join('')}`;
  }

  begin(message) {
    this.rater = message.rater;
    this.choices.replaceChildren(...message.specialties.map((value) => make('option', {value})));
    super.begin(message);
    this.showList();
  }

  showItem() {}

  update(message) {
    super.update(message);
    if (message.undone && this.item) {
      const found = this.items.find((item) => item.item === this.item.item);
      const nothing = {specialty: this.specialty.value, instruction: ''};
      this.item.written = {...(found?.written ?? nothing), done: false};
      this.refresh();
    }
    this.showList();
  }

  next() {
    const specialty = this.specialty.value
      || this.items.findLast((item) => item.written?.specialty)?.written.specialty || '';
    this.show({item: this.newName(), written: {specialty, instruction: '', done: false}});
    this.act('open');
  }

  open(name) {
    this.draft.flush();
    const {item, written} = this.items.find((other) => other.item === name);
    this.show({item, written: {...written}});
    this.act('open');
    if (written.done) this.act('reopen');
    this.written.done = false;
  }

  show(item) {
    this.uncover();
    this.item = item;
    this.refresh();
    this.showList();
    (this.specialty.value ? this.text : this.specialty).focus();
  }

  saveText() {
    const [specialty, instruction] = [this.specialty.value.trim(), this.text.value];
    if (!this.item || (specialty === this.written.specialty && instruction === this.written.instruction)) return;
    Object.assign(this.written, {specialty, instruction});
    this.last = null;
    if (instruction.trim()) this.act('submission', {specialty, instruction});
  }

  done() {
    this.draft.flush();
    const {specialty, instruction} = this.written;
    if (!instruction.trim()) { this.say('No instruction yet.', true); this.text.focus(); return; }
    if (!specialty) { this.say('Which specialty are you in?', true); this.specialty.focus(); return; }
    this.act('done');
    this.last = this.item.item;
    this.say('Submitted. Write the next one.');
    this.next();
  }

  withdraw(name) {
    this.draft.flush();
    this.act('submission', null, name);
    this.say('Withdrawn. Undo brings it back.');
    this.last = name;
    if (this.item.item === name) this.next();
    else this.text.focus();
  }

  undo() {
    this.draft.flush();
    this.act('undo', null, this.last ?? this.item.item);
    this.last = null;
  }

  progressText(done) { return count(done, 'instruction') + ' submitted'; }

  refresh() {
    this.draft.set(this.written.specialty, this.written.instruction);
  }

  showList() {
    const shown = this.items.filter((item) => item.state !== 'new').reverse();
    setText(this.heading, shown.length ? 'Your instructions, the newest first' : 'Your instructions will be listed here.');
    this.rows.replaceChildren(...shown.map(({item, state, written}) => {
      const open = item === this.item?.item;
      return make('li', {class: 'mr-evidence', 'aria-current': `${open}`, 'data-state': state},
        make('span', {class: 'mr-show'}, written.instruction ?? '', make('small', {}, ` ${written.specialty ?? ''}`,
          state === 'done' ? '' : open ? ' · open above' : ' · not submitted yet')),
        make('button', {class: 'mr-edit', onclick: () => this.open(item)}, 'Edit'),
        make('button', {class: 'mr-remove', onclick: () => this.withdraw(item)}, 'Withdraw'));
    }));
  }

  pressOther(key) {
    const actions = {
      send: () => this.done(), t: () => this.text.focus(), u: () => this.undo(), z: () => this.pause(),
      '?': () => this.help.showModal(),
    };
    if (!this.item || !Object.hasOwn(actions, key)) return false;
    actions[key]();
    return true;
  }

  build() {
    this.bar.hidden = true; // nobody says how many are enough
    this.el.classList.add('mr-submitting');
    this.choices = make('datalist', {id: 'mr-specialties'});
    this.specialty = make('input', {class: 'mr-comment', list: 'mr-specialties', autocomplete: 'off',
      'aria-label': 'Your specialty', placeholder: 'such as Cardiology'});
    this.text = make('textarea', {class: 'mr-draft', 'aria-label': 'Instruction', autocomplete: 'off',
      placeholder: 'An instruction that you would give about a patient of yours (t). It is saved as you write.'});
    this.heading = make('b');
    this.rows = make('ol', {class: 'mr-rows'});
    this.panel.append(
      make('header', {class: 'mr-top'}, this.far, this.state,
        this.button('', 'z', 'Pause', () => this.pause()), this.button('', '?', 'Keys', () => this.help.showModal()), this.leaveButton),
      this.alert, make('label', {class: 'mr-tools'}, make('b', {}, 'Specialty '), this.specialty), this.choices,
      this.text, this.message, make('footer', {class: 'mr-bottom'},
        this.button('', 'u', '↶ Undo', () => this.undo()),
        this.button('mr-done mr-ready', 'Ctrl ↵', 'Submit', () => this.done(), {'aria-keyshortcuts': 'Control+Enter'})),
      this.heading, this.rows);
    this.makeCovers({
      start: [make('h2', {}, 'Submit instructions'), this.title,
        make('p', {}, 'Write what you would ask an assistant that can read a patient\'s whole record, as you ' +
          'would in your daily work. You see no record, so that the instruction comes from your practice.'),
        make('p', {}, 'Name no patient and no person. Others will read your words.'),
        make('button', {class: 'mr-big', onclick: () => this.start()}, 'Start ', kbd('Enter'))],
      pause: this.pauseCover(),
    });
    this.makeHelp(KEYS);
  }
}

export default {
  render({model, el}) {
    const page = new SubmitPage(model, el);
    return () => page.close();
  },
};
