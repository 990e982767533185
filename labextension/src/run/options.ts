/**
 * The options of `%%kubetrain`, once: the line's reader and printer and the form go by this table.
 *
 * A test in Python holds it against the magic's own parser.
 */

/** What may be chosen, as it is written in the line; empty where nothing is said. */
export interface ITrainOptions {
  framework: string;
  profile: string;
  workers: string;
  gpus: string;
  use: string;
  output: string;
  cpu: string;
  memory: string;
  procs: string;
  name: string;
  pip: string[];
  retries: string;
  timeout: string;
  keep: string;
  ps: string;
  chief: boolean;
  evaluator: boolean;
  detach: boolean;
  dryRun: boolean;
  export: string;
}

export type OptionKey = keyof ITrainOptions;

type KeysOf<T> = {
  [K in OptionKey]: ITrainOptions[K] extends T ? K : never;
}[OptionKey];

export type TextKey = KeysOf<string>;
export type FlagKey = KeysOf<boolean>;

/** One option of the line. The first flag is the one that is written. */
export type Option =
  | { kind: 'text'; key: Exclude<TextKey, 'framework'>; flags: string[] }
  | { kind: 'flag'; key: FlagKey; flags: string[] }
  | { kind: 'list'; key: 'pip'; flags: string[] };

/** All but the framework, which has no flag, in the order they are written. */
export const OPTIONS: readonly Option[] = [
  { kind: 'text', key: 'workers', flags: ['-w', '--workers'] },
  { kind: 'text', key: 'profile', flags: ['-p', '--profile'] },
  { kind: 'text', key: 'gpus', flags: ['--gpus'] },
  { kind: 'text', key: 'cpu', flags: ['--cpu'] },
  { kind: 'text', key: 'memory', flags: ['--memory'] },
  { kind: 'text', key: 'procs', flags: ['--procs'] },
  { kind: 'flag', key: 'chief', flags: ['--chief'] },
  { kind: 'text', key: 'ps', flags: ['--ps'] },
  { kind: 'flag', key: 'evaluator', flags: ['--evaluator'] },
  { kind: 'text', key: 'name', flags: ['--name'] },
  { kind: 'list', key: 'pip', flags: ['--pip'] },
  { kind: 'text', key: 'retries', flags: ['--retries'] },
  { kind: 'text', key: 'timeout', flags: ['--timeout'] },
  { kind: 'text', key: 'keep', flags: ['--keep'] },
  { kind: 'flag', key: 'detach', flags: ['--detach'] },
  { kind: 'flag', key: 'dryRun', flags: ['--dry-run'] },
  { kind: 'text', key: 'export', flags: ['--export'] },
  { kind: 'text', key: 'use', flags: ['-i', '--use'] },
  { kind: 'text', key: 'output', flags: ['-o', '--output'] }
];

export const FRAMEWORKS = ['tensorflow', 'pytorch', 'paddle', 'python'];

/** Nothing said but one worker. */
export const PLAIN: Readonly<ITrainOptions> = {
  framework: '',
  profile: '',
  workers: '1',
  gpus: '',
  use: '',
  output: '',
  cpu: '',
  memory: '',
  procs: '',
  name: '',
  pip: [],
  retries: '',
  timeout: '',
  keep: '',
  ps: '',
  chief: false,
  evaluator: false,
  detach: false,
  dryRun: false,
  export: ''
};
