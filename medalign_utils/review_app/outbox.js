// Sends a rater's actions to the kernel, and keeps each until the kernel says that it is on disk.
// The actions wait in this page's memory only: never in the browser's storage, never in an address.

const SLOW = 4000; // ms without an answer until the page says so
const LOST = 9000;
const BEAT = 2500;
const waiting = (globalThis.medalignWaiting ??= []); // outlives a panel that runs again

// crypto.randomUUID needs https or 127.0.0.1; JupyterLab may be on neither.
const newId = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (x) => x.toString(16).padStart(2, '0'))
    .join('');

class Outbox {
  // `onState(kind, text)` gets "saved", "saving" or "unsaved"; `onMessage(message)` the rest.
  constructor(model, onState, onMessage) {
    Object.assign(this, {model, onState, onMessage, review: null, why: '', heard: Date.now()});
    this.receive = (message) => this.#receive(message);
    model.on('msg:custom', this.receive);
    this.timer = setInterval(() => this.#beat(), BEAT);
    this.warn = (event) => { if (this.own.length) event.preventDefault(); };
    window.addEventListener('beforeunload', this.warn);
  }

  close() {
    clearInterval(this.timer);
    this.model.off('msg:custom', this.receive);
    window.removeEventListener('beforeunload', this.warn);
  }

  get own() { return waiting.filter((action) => action.review === this.review); }

  ask(message) {
    try {
      this.model.send(message);
    } catch { /* the kernel has ended: its silence is shown below */ }
  }

  // Name the review and send what an earlier panel of it could not.
  begin(review) {
    this.review = review;
    this.again();
  }

  act(action) {
    waiting.push({id: newId(), review: this.review, at: Date.now(), ...action});
    this.again(); // all of them, so that none overtakes one that could not be saved
  }

  again() {
    this.#send(this.own);
    this.#show();
  }

  #send(actions) {
    const plain = actions.map(({review, at, ...action}) => action);
    if (plain.length) this.ask({kind: 'do', actions: plain});
  }

  #receive(message) {
    this.heard = Date.now();
    if (message.kind === 'saved') this.#drop(message.ids);
    if (message.kind === 'failed') this.why = message.why;
    this.onMessage(message);
    this.#show();
  }

  #drop(ids) {
    this.why = '';
    for (const id of ids) {
      const place = waiting.findIndex((action) => action.id === id);
      if (place >= 0) waiting.splice(place, 1);
    }
  }

  #beat() {
    this.ask({kind: 'beat'});
    const late = this.own.filter((action) => Date.now() - action.at > BEAT);
    if (late.length) this.again(); // with the same ids, which are never saved twice
    this.#show();
  }

  #show() {
    const n = this.own.length;
    const kept = n ? ` ${n} action${n > 1 ? 's' : ''} kept on this page, sent again until saved.` : '';
    const oldest = n ? Date.now() - this.own[0].at : 0;
    const kernel = this.model.widget_manager?.kernel;
    const silent = Date.now() - this.heard;
    if (this.why && n) this.onState('unsaved', `${this.why[0].toUpperCase()}${this.why.slice(1)}.${kept}`);
    else if (silent > LOST || oldest > SLOW) {
      const dead = ['dead', 'terminating'].includes(kernel?.status) || silent > 4 * LOST;
      const advice = dead
        ? ' The program behind this page has ended: reload the page. What was saved is there.'
        : ' Do not close this page.';
      this.onState('unsaved', `No answer from the program behind this page.${kept}${advice}`);
    } else if (n) this.onState('saving', 'Saving …');
    else this.onState('saved', 'Saved');
  }
}
