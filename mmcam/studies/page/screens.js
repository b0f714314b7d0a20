"use strict";
/* The screens of a study as jsPsych's trials. Every text is escaped: class names come from other people's files. */

const escaped = (text) => {
  const element = document.createElement("p");
  element.textContent = text;
  return element.innerHTML.replaceAll('"', "&quot;");
};
const paragraphs = (texts) => texts.map((text) => `<p>${escaped(text)}</p>`).join("");
const heading = (text) => `<h1 tabindex="-1">${escaped(text)}</h1>`;

/* A button with the number key that presses it. */
const button = (choice, index) =>
  `<button type="button" class="choice"><kbd aria-hidden="true">${index + 1}</kbd><span>${escaped(choice)}</span></button>`;

/* Number keys press buttons; a key that is held down presses one only. */
let pressed = null;
document.addEventListener("keydown", (event) => {
  if (event.repeat || event.altKey || event.ctrlKey || event.metaKey || document.querySelector("dialog[open]")) return;
  if (pressed && /^[1-9]$/.test(event.key)) pressed(Number(event.key) - 1);
  const turned = { ArrowRight: "next", ArrowLeft: "back" }[event.key];
  if (turned) document.getElementById(`jspsych-instructions-${turned}`)?.click();
});

/* A question with buttons. */
function asked(stimulus, choices, more = {}) {
  return {
    type: jsPsychHtmlButtonResponse,
    stimulus,
    choices,
    button_html: button,
    button_layout: "flex",
    post_trial_gap: 150,
    ...more,
    on_load: () => {
      const stage = document.getElementById("stage");
      const buttons = stage.querySelectorAll("button.choice");
      stage.querySelector("h1")?.focus();
      pressed = (index) => buttons[index]?.click();
    },
    on_finish: (data) => {
      pressed = null;
      more.on_finish?.(data);
    },
  };
}

function consent(study) {
  const text = heading("Before you begin") + `<div class="text">${paragraphs(study.consent)}</div>`;
  return asked(text, ["I agree, and am at least 18 years old", "I do not agree"]);
}

function instructions(study) {
  const pages = study.instructions.map(
    (page, i) => heading(i ? "How it works" : "What you will do") + `<div class="text">${paragraphs(page)}</div>`,
  );
  return {
    type: jsPsychInstructions,
    pages,
    show_clickable_nav: true,
    allow_keys: false, // its own keys work only while something on the page has the focus
    button_label_previous: "Back",
    button_label_next: "Next",
    on_load: () => {
      const focus = () => document.getElementById("jspsych-instructions-next")?.focus();
      document.getElementById("stage").addEventListener("click", focus); // after the plugin has turned the page
      focus();
    },
  };
}

/* The pictures of a trial: the original, if it is shown, and below it one to four visualisations. */
function pictures(trial) {
  const many = trial.images.length;
  const names = { 1: [""], 2: ["Left", "Right"] }[many] ?? trial.images.map((_, i) => `Answer ${i + 1}`);
  const figure = (name, image, alt) =>
    `<figure><img src="stimuli/${encodeURIComponent(image)}" alt="${alt}">` +
    (name ? `<figcaption>${escaped(name)}</figcaption>` : "") + "</figure>";
  const original = trial.picture ? figure("The picture", trial.picture, "The picture") : "";
  const maps = trial.images.map((image, i) => {
    const name = names[i] || (trial.picture ? "What mattered" : "");
    return figure(name, image, name ? `What mattered: ${escaped(name)}` : "The picture that the program made");
  });
  return `<div class="pictures of${many}${original ? " with" : ""}">${original}` +
    `<div class="maps">${maps.join("")}</div></div>`;
}

function item(trial, answered, note = "") {
  const text =
    (note ? `<p class="note">${escaped(note)}</p>` : "") +
    heading(trial.question) +
    (trial.notice ? `<p class="notice">${escaped(trial.notice)}</p>` : "") +
    pictures(trial);
  return asked(text, trial.choices, { on_finish: (data) => answered(data.response, data.rt) });
}

function practice(trial, answered) {
  const told = asked(
    `${heading("Practice done")}<div class="text"><p>${escaped(trial.feedback)}</p>` +
      `<p>Now the study begins.</p></div>${pictures(trial)}`,
    ["Begin"],
  );
  return { timeline: [item(trial, answered, "For practice"), told] };
}
