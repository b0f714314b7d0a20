"use strict";
/* The way through a study: consent, session, instructions, practice, items, end. It can be left and taken up at any point. */

(async () => {
  const study = JSON.parse(document.getElementById("told").textContent);
  const [stage, card] = ["stage", "screen"].map((id) => document.getElementById(id));
  const say = (text) => { document.getElementById("state").textContent = text; };
  const screen = (title, html) => {
    card.innerHTML = heading(title) + html;
    [stage.hidden, card.hidden] = [true, false];
    card.querySelector("h1").focus();
  };
  const run = async (trials) => {
    [stage.hidden, card.hidden] = [false, true];
    stage.replaceChildren();
    const psych = initJsPsych({ display_element: "stage" });
    await psych.run(trials);
    return psych.data.get().values();
  };
  const who = visitor(new URLSearchParams(location.search), study.id);
  const prefix = `mmcam-study:${study.id}:${who.source}:${who.rater}`;

  if (who.preview) return screen("Preview", paragraphs(study.consent.slice(0, 1)) +
    "<p>Accept the HIT to begin.</p>");
  if (!Kept.get(`${prefix}:consent`)) {
    const [data] = await run([consent(study)]);
    if (data.response !== 0) {
      return screen("Thank you", "<p>You chose not to take part. Nothing was kept. You may close this page.</p>");
    }
    Kept.set(`${prefix}:consent`, new Date().toISOString());
  }

  try {
    screen("One moment", "<p>The study is being loaded.</p>");
    const session = study.plans ? ownSession(study, prefix) : await sent("api/session", {
      source: who.source, rater: who.rater, details: who.details }, say);
    if (session.code) return done(session.code);
    const answers = new (study.plans ? OwnAnswers : Answers)(prefix, session.session, say, failed);
    onlyHere(prefix);
    const answered = new Set([...session.answered, ...answers.waiting().map((answer) => answer.trial)]);
    answers.send().catch(failed);
    const left = session.trials.filter((trial) => !answered.has(trial.trial));
    if (left.length) {
      await run(timeline(session, left, answered, answers));
    }
    await finished(session, answers);
  } catch (error) {
    failed(error);
  }

  function timeline(session, left, answered, answers) {
    const count = session.trials.length;
    const images = [...new Set(left.flatMap((trial) => [...trial.images, trial.picture]).filter(Boolean))];
    const step = (trial) => {
      const put = (choice, ms) => {
        answers.put(trial.trial, choice, ms);
        answered.add(trial.trial);
        progress(answered.size, count);
      };
      return trial.feedback ? practice(trial, put) : item(trial, put);
    };
    progress(answered.size, count);
    return [
      {
        type: jsPsychPreload,
        images: images.map((image) => `stimuli/${encodeURIComponent(image)}`),
        message: "<p>Loading the pictures …</p>",
        error_message: "<p>Some pictures could not be loaded. Please load the page again.</p>",
        show_progress_bar: false,
      },
      ...(answered.size ? [] : [instructions(study)]),
      ...left.map(step),
    ];
  }

  async function finished(session, answers) {
    if (study.plans) return savedHere(session, answers);
    screen("One moment", "<p>Your last answers are being saved. Please do not close this page.</p>");
    await answers.send();
    done((await sent("api/finish", { session: session.session }, say)).code);
  }

  function done(code) {
    progress(1, 1);
    document.getElementById("progress").hidden = true;
    const thanks = "<p>Thank you. All your answers are saved.</p>";
    const told = `<p>Your completion code:</p><p class="code" id="code">${escaped(code)}</p>`;
    if (who.source === "prolific") {
      const back = `https://app.prolific.com/submissions/complete?cc=${encodeURIComponent(code)}`;
      return screen("Done", `${thanks}${told}<p><a class="go" href="${back}">Back to Prolific</a></p>`);
    }
    if (who.submit) {
      const field = (name, value) => `<input type="hidden" name="${name}" value="${escaped(value)}">`;
      return screen("Done", `${thanks}${told}<form method="post" action="${who.submit}/mturk/externalSubmit">` +
        `${field("assignmentId", who.details.assignmentId)}${field("code", code)}` +
        '<button class="go" type="submit">Submit the HIT</button></form>');
    }
    return screen("Done", thanks + told);
  }

  /* Without a server: a file to send in. */
  function savedHere(session, answers) {
    const content = {
      study: study.id, source: "static", rater: who.rater, details: who.details, plan: session.plan,
      session: session.session, started: session.started, finished: Date.now() / 1000, answers: answers.waiting(),
    };
    const blob = new Blob([JSON.stringify(content, null, 1)], { type: "application/json" });
    screen("Almost done", "<p>Please save your answers as a file, and send it to those who asked you.</p>" +
      `<p><a class="go" download="answers-${session.session}.json">Save my answers</a></p>` +
      `<p>Your completion code:</p><p class="code" id="code">${escaped(study.completion)}</p>`);
    card.querySelector("a").href = URL.createObjectURL(blob);
  }

  function failed(error) {
    say("");
    pressed = null;
    screen("Something went wrong", "<p>Your answers are kept. Please load the page again; if this comes back, write to " +
      `those who asked you and tell them this:</p><p class="error">${escaped(String(error.message ?? error))}</p>`);
  }
})();

/* Who came, by the IDs of Prolific or Mechanical Turk; others get one that the browser keeps. */
function visitor(query, id) {
  const short = (name) => (query.get(name) ?? "").slice(0, 200);
  const some = (names) => Object.fromEntries(names.map((name) => [name, short(name)]).filter(([, value]) => value));
  if (short("PROLIFIC_PID")) {
    return { source: "prolific", rater: short("PROLIFIC_PID"), details: some(["STUDY_ID", "SESSION_ID"]) };
  }
  if (short("assignmentId") || short("workerId")) {
    const hosts = ["https://www.mturk.com", "https://workersandbox.mturk.com"];
    return {
      source: "mturk",
      rater: short("workerId"),
      details: some(["assignmentId", "hitId"]),
      preview: !short("workerId") || short("assignmentId") === "ASSIGNMENT_ID_NOT_AVAILABLE",
      submit: hosts.find((host) => short("turkSubmitTo").replace(/\/$/, "") === host) ?? "",
    };
  }
  const key = `mmcam-study:${id}:visitor`;
  if (!Kept.get(key)) Kept.set(key, drawn());
  return { source: "link", rater: Kept.get(key), details: {} };
}

/* A row of the plan at random, kept in the browser. */
function ownSession(study, prefix) {
  const key = `${prefix}:session`;
  if (!Kept.get(key)) {
    const plan = crypto.getRandomValues(new Uint32Array(1))[0] % study.plans.length;
    Kept.set(key, JSON.stringify({ session: drawn(), plan, started: Date.now() / 1000 }));
  }
  const kept = JSON.parse(Kept.get(key));
  return { ...kept, trials: study.plans[kept.plan], answered: [] };
}

function progress(value, max) {
  document.getElementById("progress").hidden = false;
  Object.assign(document.getElementById("bar"), { value, max });
  document.getElementById("step").textContent = `${value} of ${max}`;
}

/* The tab that began last goes on; the others stop and say so. */
function onlyHere(name) {
  const channel = new BroadcastChannel(name);
  const elsewhere = document.getElementById("elsewhere");
  channel.onmessage = () => { if (!elsewhere.open) elsewhere.showModal(); };
  elsewhere.addEventListener("cancel", (event) => event.preventDefault());
  document.getElementById("here").onclick = () => location.reload();
  channel.postMessage("here");
}
