/**
 * The form's fields: what each is called and how it is explained (pure).
 */
import { TranslationBundle } from '@jupyterlab/translation';
import { FlagKey, TextKey } from './options';

/** A text to be typed. */
export interface IField {
  key: TextKey;
  label: string;
  hint: string;
}

/** A box to be ticked. */
export interface ITick {
  key: FlagKey;
  label: string;
}

/** Fields that are seen at once, after framework and profile. */
export function mainFields(trans: TranslationBundle): IField[] {
  return [
    {
      key: 'workers',
      label: trans.__('Workers'),
      hint: trans.__('4, or 2:4 for as many as there is room for')
    },
    {
      key: 'gpus',
      label: trans.__('GPUs for each worker'),
      hint: trans.__("the profile's")
    },
    {
      key: 'use',
      label: trans.__('Further inputs'),
      hint: trans.__('x,y: names the code does not mention')
    },
    {
      key: 'output',
      label: trans.__('Outputs'),
      hint: trans.__('history,model: names that come back')
    }
  ];
}

/** Fields that are seldom needed. */
export function moreFields(trans: TranslationBundle): IField[] {
  return [
    {
      key: 'name',
      label: trans.__('Name'),
      hint: trans.__("the notebook's name")
    },
    {
      key: 'memory',
      label: trans.__('Memory for each worker'),
      hint: trans.__("the profile's; as in 4Gi")
    },
    {
      key: 'cpu',
      label: trans.__('Processors for each worker'),
      hint: trans.__("the profile's; as in 2 or 500m")
    },
    {
      key: 'procs',
      label: trans.__('Processes in each worker'),
      hint: trans.__('one for each GPU')
    },
    {
      key: 'retries',
      label: trans.__('New starts after a worker died'),
      hint: '3'
    },
    {
      key: 'timeout',
      label: trans.__('Longest run'),
      hint: trans.__('none; as in 30m or 2h')
    },
    {
      key: 'keep',
      label: trans.__('Keep the finished job'),
      hint: '1d'
    },
    {
      key: 'ps',
      label: trans.__('Parameter servers'),
      hint: trans.__('0; TensorFlow only')
    },
    {
      key: 'export',
      label: trans.__('Write a file for kubectl instead'),
      hint: trans.__('name of the file')
    }
  ];
}

/** What is said by yes or no. */
export function ticks(trans: TranslationBundle): ITick[] {
  return [
    {
      key: 'detach',
      label: trans.__('Submit only, and follow it later')
    },
    {
      key: 'dryRun',
      label: trans.__('Show what would be created, and create nothing')
    },
    {
      key: 'chief',
      label: trans.__('One more that leads the workers (TensorFlow)')
    },
    {
      key: 'evaluator',
      label: trans.__('One more that evaluates (TensorFlow)')
    }
  ];
}
