import { Button } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import React from 'react';

/** Commands about one thing; those that are not there (a plugin is off) are left out. */
export function CommandButtons(props: {
  readonly commands: CommandRegistry;
  readonly ids: readonly string[];
  readonly args: ReadonlyPartialJSONObject;
}): JSX.Element {
  const { commands, ids, args } = props;
  return (
    <div className="jp-KubeButtons">
      {ids
        .filter(id => commands.hasCommand(id) && commands.isVisible(id, args))
        .map(id => (
          <Button
            key={id}
            className="jp-mod-styled"
            title={commands.caption(id, args)}
            disabled={!commands.isEnabled(id, args)}
            onClick={() => void commands.execute(id, args)}
          >
            {commands.label(id, args)}
          </Button>
        ))}
    </div>
  );
}
