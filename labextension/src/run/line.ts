/**
 * The line `%%kubetrain …` at a cell's top: read, written, found and replaced (pure).
 */
import { ITrainOptions, OPTIONS, Option, PLAIN } from './options';
import { join, split } from './words';

const MAGIC = '%%kubetrain';

/** The line cannot be read; the message says why. */
export class LineError extends Error {}

/** A cell's source, with its first line taken apart. */
export interface ICell {
  /** What follows `%%kubetrain`; null where the cell does not begin with it. */
  line: string | null;
  /** Another magic that the cell begins with, as in `%%time`; else empty. */
  magic: string;
  /** The cell without the line. */
  body: string;
}

/** Take a cell's source apart. IPython passes over empty lines before a magic, and so does this. */
export function takeApart(source: string): ICell {
  const match = /^(?:[ \t]*\n)*(%%\S+)([^\n]*)(?:\n|$)/.exec(source);
  if (!match) {
    return { line: null, magic: '', body: source };
  }
  if (match[1] !== MAGIC) {
    return { line: null, magic: match[1], body: source };
  }
  return {
    line: match[2].trim(),
    magic: '',
    body: source.slice(match[0].length)
  };
}

/** Put the line above a cell, or in the place of the one that is there. */
export function putAbove(source: string, options: ITrainOptions): string {
  return `${print(options)}\n${takeApart(source).body}`;
}

/**
 * Read what follows `%%kubetrain`, as the magic does.
 *
 * @throws LineError if the magic would not take it for a line of its own.
 */
export function parse(line: string): ITrainOptions {
  const options: ITrainOptions = { ...PLAIN, pip: [] };
  const words = split(line);
  if (words === null) {
    throw new LineError('a quotation mark is not closed');
  }
  let framework: string | undefined;
  while (words.length) {
    const word = words.shift()!;
    if (!looksLikeOption(word)) {
      if (framework !== undefined) {
        throw new LineError(`unexpected "${word}"`);
      }
      framework = word;
      continue;
    }
    const found = find(word);
    if (!found) {
      throw new LineError(`unknown option ${word.split('=')[0]}`);
    }
    read(options, found.option, found.value, words);
  }
  return { ...options, framework: framework ?? '' };
}

/** Write the whole line, magic and all. */
export function print(options: ITrainOptions): string {
  const words = [MAGIC];
  if (options.framework) {
    words.push(options.framework);
  }
  for (const option of OPTIONS) {
    const flag = option.flags[0];
    if (option.kind === 'flag') {
      words.push(...(options[option.key] ? [flag] : []));
    } else if (option.kind === 'list') {
      words.push(...options[option.key].flatMap(each => [flag, each]));
    } else if (options[option.key]) {
      words.push(flag, options[option.key]);
    }
  }
  return join(words);
}

function read(
  options: ITrainOptions,
  option: Option,
  attached: string | undefined,
  words: string[]
): void {
  const flag = option.flags[0];
  if (option.kind === 'flag') {
    if (attached !== undefined) {
      throw new LineError(`${flag} takes no value`);
    }
    options[option.key] = true;
    return;
  }
  const value = attached ?? words.shift();
  if (
    value === undefined ||
    (attached === undefined && looksLikeOption(value))
  ) {
    throw new LineError(`${flag} needs a value`);
  }
  if (option.kind === 'list') {
    options[option.key].push(value);
  } else {
    options[option.key] = value;
  }
}

/** Find an option by what was typed: `-w`, `-w4`, `--workers` or `--workers=4`. */
function find(word: string): { option: Option; value?: string } | null {
  const equals = word.indexOf('=');
  const name = equals < 0 ? word : word.slice(0, equals);
  const named = OPTIONS.find(each => each.flags.includes(name));
  if (named) {
    return {
      option: named,
      value: equals < 0 ? undefined : word.slice(equals + 1)
    };
  }
  const short = OPTIONS.find(each => each.flags[0] === word.slice(0, 2));
  return short && short.flags.length > 1 && !word.startsWith('--')
    ? { option: short, value: word.slice(2) }
    : null;
}

/** Whether Python's argparse takes a word for an option: not so "-" and negative numbers. */
function looksLikeOption(word: string): boolean {
  return (
    /^-./.test(word) &&
    !/^-\d+$|^-\d*\.\d+$/.test(word) &&
    !/^[^=]* /.test(word)
  );
}
