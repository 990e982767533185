/**
 * Words of a line as Python's `shlex` splits and quotes them (pure).
 */

/** Split a line; null if a quotation mark or an escape is not ended. */
export function split(line: string): string[] | null {
  const words: string[] = [];
  let word: string | null = null;
  let quote = '';
  for (let at = 0; at < line.length; at++) {
    const sign = line[at];
    if (quote) {
      if (sign === quote) {
        quote = '';
      } else if (
        sign === '\\' &&
        quote === '"' &&
        '"\\'.includes(line[at + 1] ?? ' ')
      ) {
        word += line[++at];
      } else {
        word += sign;
      }
    } else if (sign === '"' || sign === "'") {
      quote = sign;
      word ??= '';
    } else if (sign === '\\') {
      if (at + 1 === line.length) {
        return null;
      }
      word = (word ?? '') + line[++at];
    } else if (' \t\r\n'.includes(sign)) {
      if (word !== null) {
        words.push(word);
      }
      word = null;
    } else {
      word = (word ?? '') + sign;
    }
  }
  if (quote) {
    return null;
  }
  return word === null ? words : [...words, word];
}

/** Write words so that they are split into the same ones; quoted as for a shell. */
export function join(words: readonly string[]): string {
  return words.map(quoted).join(' ');
}

function quoted(word: string): string {
  if (word && !/[\s"'\\<>;&|#*?!$`()]/.test(word)) {
    return word;
  }
  return word.includes('"') || word.includes('\\')
    ? `'${word.replace(/'/g, "'\"'\"'")}'`
    : `"${word}"`;
}
