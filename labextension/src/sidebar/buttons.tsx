import { Button } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import React from 'react';

/** A command, and what its button says. */
export type Action = readonly [command: string, label: string];

/** What may be done with one thing; commands that are not there (a plugin is off) are left out. */
export function Actions(props: {
  readonly commands: CommandRegistry;
  readonly actions: readonly Action[];
  readonly args: ReadonlyPartialJSONObject;
}): JSX.Element {
  const { commands, actions, args } = props;
  return (
    <div className="jp-KubeButtons">
      {actions
        .filter(([id]) => commands.hasCommand(id))
        .map(([id, label]) => (
          <Button
            key={id}
            className="jp-mod-styled"
            title={commands.caption(id, args)}
            disabled={!commands.isEnabled(id, args)}
            onClick={() => void commands.execute(id, args)}
          >
            {label}
          </Button>
        ))}
    </div>
  );
}
