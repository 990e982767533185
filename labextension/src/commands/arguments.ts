import type { TranslationBundle } from '@jupyterlab/translation';
import type {
  ReadonlyJSONObject,
  ReadonlyPartialJSONObject
} from '@lumino/coreutils';

interface IDescription {
  args: ReadonlyJSONObject;
}

/** Read an argument of a command that is a text; what is missing is empty. */
export function textArgument(
  args: ReadonlyPartialJSONObject,
  name: string
): string {
  const value = args[name];
  return typeof value === 'string' ? value : '';
}

/** Describes a command that is about what is at hand. */
export const NO_ARGUMENTS: IDescription = {
  args: { type: 'object', properties: {} }
};

/** Describe the only argument of a command, a text, as Lab's lists of commands show it. */
export function describeText(name: string, description: string): IDescription {
  return {
    args: {
      type: 'object',
      properties: { [name]: { type: 'string', description } },
      required: [name]
    }
  };
}

export const describeKernel = (trans: TranslationBundle): IDescription =>
  describeText('id', trans.__("The kernel's id in Jupyter"));

export const describeJob = (trans: TranslationBundle): IDescription =>
  describeText('name', trans.__("The job's name"));
