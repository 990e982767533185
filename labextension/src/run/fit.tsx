/**
 * Whether what is being asked for will find room, said before it is.
 */
import { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';
import type { Fit as Found } from '../tokens';

const PAUSE = 300; // milliseconds without typing before the server is asked

/** Workers of a size; empty for the profile's own. */
export interface IAsked {
  profile: string;
  workers: number;
  gpus: string;
  cpu: string;
  memory: string;
}

/** The answer, in a live region. */
export function Fit(props: {
  /** Null where there is nothing to ask. */
  asked: IAsked | null;
  ask: Fit.IAsk;
  trans: TranslationBundle;
}): JSX.Element {
  const { asked, ask, trans } = props;
  const [words, setWords] = React.useState('');
  React.useEffect(() => {
    setWords('');
    if (!asked) {
      return;
    }
    let wanted = true;
    const timer = setTimeout(() => {
      ask(asked).then(
        found => wanted && setWords(say(found, trans)),
        error =>
          wanted &&
          setWords(trans.__('Whether it fits is not known: %1', error.message))
      );
    }, PAUSE);
    return () => {
      wanted = false;
      clearTimeout(timer);
    };
  }, [JSON.stringify(asked)]);
  return (
    <p role="status" className="jp-KubeForm-fit">
      {words}
    </p>
  );
}

export namespace Fit {
  export type IAsk = (asked: IAsked) => Promise<Found>;
}

/** Say whether they fit. */
export function say(found: Found, trans: TranslationBundle): string {
  const { fits, wanted, why } = found;
  if (fits === null) {
    return why || trans.__('Whether it fits cannot be known here.');
  }
  if (fits >= wanted) {
    return why || trans.__('There is room for all of it now.');
  }
  const words = trans.__('Room for %1 of %2 workers now.', fits, wanted);
  return why ? `${words} ${why}` : words;
}
