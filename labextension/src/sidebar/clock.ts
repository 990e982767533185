import React from 'react';

/** Tell the time in seconds since 1970, each second anew while it is looked at. */
export function useNow(isSeen: boolean): number {
  const [now, setNow] = React.useState(seconds);
  React.useEffect(() => {
    if (isSeen) {
      setNow(seconds());
      const timer = window.setInterval(() => setNow(seconds()), 1000);
      return () => window.clearInterval(timer);
    }
    return undefined;
  }, [isSeen]);
  return now;
}

const seconds = (): number => Date.now() / 1000;
