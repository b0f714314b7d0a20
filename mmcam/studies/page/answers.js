"use strict";
/* Answers are kept in the browser until the server says that it has them on its disk, and are sent until it does. */

/* What the browser keeps; a frame that may keep nothing has it in memory, and the server has it anyway. */
const Kept = (() => {
  const memory = new Map();
  try {
    const test = "mmcam-study-test";
    localStorage.setItem(test, "1");
    localStorage.removeItem(test);
    return {
      get: (key) => localStorage.getItem(key),
      set: (key, value) => localStorage.setItem(key, value),
      remove: (key) => localStorage.removeItem(key),
      keys: () => Object.keys(localStorage),
    };
  } catch {
    return {
      get: (key) => memory.get(key) ?? null,
      set: (key, value) => memory.set(key, value),
      remove: (key) => memory.delete(key),
      keys: () => [...memory.keys()],
    };
  }
})();

/* 128 random bits; crypto.randomUUID is not there on pages without TLS. */
function drawn() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/* Send until an answer comes; what the server refuses is an error that no further try would mend. */
async function sent(path, body, say) {
  for (let tries = 0; ; tries++) {
    let response = null;
    try {
      response = await fetch(path, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(body),
      });
    } catch {
      /* no connection: tried again below */
    }
    if (response && response.ok) {
      say("");
      return response.json();
    }
    const later = [408, 425, 429]; // what servers before this one say when they are busy
    if (response && response.status < 500 && !later.includes(response.status)) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    if (tries) say("The connection is interrupted. Your answers are kept here and sent as soon as it is back.");
    await pause(Math.min(8000, 250 * 2 ** tries));
  }
}

/* The answers of a session. Each has a key of its own in the browser, so that two tabs do not write over one another. */
class Answers {
  constructor(prefix, session, say, failed) {
    Object.assign(this, { prefix: `${prefix}:answer:`, session, say, failed, sending: null });
  }

  waiting() {
    return Kept.keys().filter((key) => key.startsWith(this.prefix)).map((key) => JSON.parse(Kept.get(key)));
  }

  put(trial, choice, ms) {
    const answer = { id: drawn(), trial, choice, ms };
    Kept.set(this.prefix + answer.id, JSON.stringify(answer));
    this.send().catch(this.failed);
  }

  /* Send all that wait; resolves when none does. */
  send() {
    this.sending ??= (async () => {
      for (let answers; (answers = this.waiting().slice(0, 100)).length; ) {
        const { kept } = await sent("api/answers", { session: this.session, answers }, this.say);
        for (const id of kept) Kept.remove(this.prefix + id);
      }
    })().finally(() => { this.sending = null; });
    return this.sending;
  }
}

/* The same without a server: answers stay in the browser, and are saved as a file at the end. */
class OwnAnswers extends Answers {
  send() {
    return Promise.resolve();
  }
}
