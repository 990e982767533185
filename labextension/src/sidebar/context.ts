import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';

import type { IClusterModel } from '../tokens';

/** What the user has set; as in schema/plugin.json. */
export interface ISettings {
  readonly finishedJobs: boolean;
}

/** What every section of the sidebar is given. */
export interface IContext {
  readonly model: IClusterModel;
  readonly commands: CommandRegistry;
  readonly trans: TranslationBundle;
  readonly settings: ISettings;
}

export interface ISectionProps extends IContext {
  /** Whether the section is to be seen; if not, its clock stands still. */
  readonly isSeen: boolean;
}
