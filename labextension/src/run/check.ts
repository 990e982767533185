/**
 * What the magic would refuse, said in the form before anything is written (pure).
 *
 * The same limits as `jupyter_kube/train/options.py`; a test there holds both to the same examples.
 */
import { TranslationBundle } from '@jupyterlab/translation';
import { FRAMEWORKS, ITrainOptions, OptionKey } from './options';

/** By option, what is wrong with it; empty if nothing is. */
export type Problems = Partial<Record<OptionKey, string>>;

const MOST_WORKERS = 1000;
const MOST_PROCS = 64;
const MOST_RETRIES = 100;
const LONGEST_NAME = 30;
const LONGEST_TIME = 30 * 86400;
const UNITS: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86400 };
const KEYWORDS = new Set(
  (
    'False None True and as assert async await break class continue def del elif else except ' +
    'finally for from global if import in is lambda nonlocal not or pass raise return try while ' +
    'with yield'
  ).split(' ')
);
const REQUIREMENT =
  /^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\s*(?:\[[^\]]*\])?\s*(?:$|[=~!<>;@].*)/;

/** Find what is wrong with what was chosen. */
export function check(
  options: ITrainOptions,
  trans: TranslationBundle
): Problems {
  const found: Problems = {};
  const say = (key: OptionKey, problem: string | null) => {
    if (problem) {
      found[key] = problem;
    }
  };
  say('workers', workersProblem(options.workers, trans));
  if (options.framework && !FRAMEWORKS.includes(options.framework)) {
    say('framework', trans.__('Choose one of %1.', FRAMEWORKS.join(', ')));
  }
  const counts = {
    gpus: MOST_WORKERS,
    procs: MOST_PROCS,
    ps: MOST_WORKERS,
    retries: MOST_RETRIES
  };
  for (const [key, most] of Object.entries(counts)) {
    const name = key as keyof typeof counts;
    say(name, countProblem(options[name], most, trans));
  }
  say('cpu', quantityProblem(options.cpu, false, trans));
  say('memory', quantityProblem(options.memory, true, trans));
  say('name', nameProblem(options.name, trans));
  say('use', namesProblem(options.use, trans));
  say('output', namesProblem(options.output, trans));
  say('timeout', timeProblem(options.timeout, trans));
  say('keep', timeProblem(options.keep, trans));
  say('pip', pipProblem(options.pip, trans));
  for (const [key, problem] of Object.entries(together(options, trans))) {
    found[key as OptionKey] ??= problem;
  }
  return found;
}

/** How many workers are asked for at most; null if that cannot be read. */
export function mostWorkers(workers: string): number | null {
  const most = workers.split(':').pop()!.trim();
  return isCount(most) ? Number(most) : null;
}

function isCount(text: string): boolean {
  return /^[0-9]{1,12}$/.test(text);
}

function workersProblem(text: string, trans: TranslationBundle): string | null {
  const [least, most, rest] = text.split(':');
  if (!isCount(least) || rest !== undefined || (most && !isCount(most))) {
    return trans.__(
      'Write a whole number, two as in 2:4 for a job that grows and shrinks, or 0 to run in this kernel.'
    );
  }
  if (most === '') {
    return trans.__('Write the larger number after the colon, as in 1:4.');
  }
  if (Math.max(Number(least), Number(most ?? 0)) > MOST_WORKERS) {
    return trans.__('At most %1 workers are allowed.', MOST_WORKERS);
  }
  if (
    most !== undefined &&
    !(1 <= Number(least) && Number(least) <= Number(most))
  ) {
    return trans.__('Write the smaller number first, at least 1, as in 1:4.');
  }
  return null;
}

function countProblem(
  text: string,
  most: number,
  trans: TranslationBundle
): string | null {
  if (!text || (isCount(text) && Number(text) <= most)) {
    return null;
  }
  return trans.__('Write a whole number from 0 to %1.', most);
}

function quantityProblem(
  text: string,
  size: boolean,
  trans: TranslationBundle
): string | null {
  if (!text) {
    return null;
  }
  const match = /^([0-9]{1,18}(?:\.[0-9]{1,9})?)(m|[kMGTPE]|[KMGTPE]i)?$/.exec(
    text
  );
  const example = size ? '4Gi, 512Mi' : '2, 500m';
  if (!match || !/[1-9]/.test(match[1])) {
    return trans.__('Write a quantity, as in %1.', example);
  }
  if (size && match[2] === 'm') {
    return trans.__(
      'This is a fraction of a byte; did you mean %1Mi?',
      match[1]
    );
  }
  if (size && !match[2] && !text.includes('.') && Number(text) < 2 ** 20) {
    return trans.__('This is in bytes; did you mean %1Gi?', text);
  }
  return null;
}

function nameProblem(text: string, trans: TranslationBundle): string | null {
  if (
    !text ||
    (/^[a-z]([a-z0-9-]*[a-z0-9])?$/.test(text) && text.length <= LONGEST_NAME)
  ) {
    return null;
  }
  return trans.__(
    'Use lower-case letters, digits and "-", at most %1, beginning with a letter.',
    LONGEST_NAME
  );
}

function namesProblem(text: string, trans: TranslationBundle): string | null {
  const wrong = text
    .split(',')
    .map(each => each.trim())
    .find(
      each =>
        !/^[\p{L}\p{Nl}_][\p{L}\p{Nl}\p{Mn}\p{Mc}\p{Nd}\p{Pc}]*$/u.test(each) ||
        KEYWORDS.has(each)
    );
  return text && wrong !== undefined
    ? trans.__('Write names of variables, as in x,y ("%1" is none).', wrong)
    : null;
}

function timeProblem(text: string, trans: TranslationBundle): string | null {
  const match = /^([0-9]{1,9}(?:\.[0-9]{1,3})?)([smhd])$/.exec(text);
  const seconds = match ? Number(match[1]) * UNITS[match[2]] : 0;
  return !text || (seconds >= 1 && seconds <= LONGEST_TIME)
    ? null
    : trans.__('Write a time with its unit, as in 90s, 30m, 2h (at most 30d).');
}

function pipProblem(
  requirements: string[],
  trans: TranslationBundle
): string | null {
  if (
    requirements.some(each =>
      /:\/\/(?!git@[^/?#@]*(?:[/?#]|$))[^/?#]*@/.test(each)
    )
  ) {
    return trans.__(
      'An address with a user or a password would show in the notebook; ask for it in the profile.'
    );
  }
  const wrong = requirements.find(each => !REQUIREMENT.test(each));
  return wrong === undefined
    ? null
    : trans.__(
        'Write packages, as in einops or einops>=0.8 ("%1" is none).',
        wrong
      );
}

/** What does not go together. */
function together(options: ITrainOptions, trans: TranslationBundle): Problems {
  const here = options.workers === '0';
  if (here && options.pip.length) {
    return {
      pip: trans.__('Packages are for workers; run %pip install instead.')
    };
  }
  if (here && options.detach) {
    return { detach: trans.__('The cell runs in this kernel.') };
  }
  if (here && options.export) {
    return { export: trans.__('The cell runs in this kernel.') };
  }
  const procs = Number(options.procs || 0);
  if (here && procs > 1) {
    return { procs: trans.__('The cell runs in this kernel alone.') };
  }
  if (procs && Number(options.gpus || 0) % procs) {
    return {
      procs: trans.__('Each process gets as many GPUs as the others.')
    };
  }
  const role = (['chief', 'ps', 'evaluator'] as const).find(
    key => options[key] && options[key] !== '0'
  );
  if (!role) {
    return {};
  }
  if (!['', 'tensorflow'].includes(options.framework)) {
    return { [role]: trans.__("Only TensorFlow's workers have roles.") };
  }
  if (options.workers.includes(':')) {
    return { workers: trans.__('Roles need a fixed number of workers.') };
  }
  if (here) {
    return { workers: trans.__('Roles need workers.') };
  }
  return procs > 1
    ? { procs: trans.__('Roles need one process a worker.') }
    : {};
}
