/**
 * Which rows of a long list are drawn: those to be seen and some around them (pure).
 */

/** Rows beyond the edges, so that scrolling does not show gaps. */
const BEYOND = 8;

export interface IView {
  /** How far the list is scrolled, in pixels. */
  readonly top: number;
  /** How much of it is to be seen, in pixels. */
  readonly height: number;
}

export interface ISpan {
  readonly first: number;
  /** The first one that is not drawn any more. */
  readonly end: number;
}

/** Find the rows to draw of `count` rows that are `rowHeight` pixels each. */
export function spanOf(count: number, rowHeight: number, view: IView): ISpan {
  const top = Math.floor(view.top / rowHeight) - BEYOND;
  const bottom = Math.ceil((view.top + view.height) / rowHeight) + BEYOND;
  const end = Math.min(count, bottom);
  return { first: Math.max(0, Math.min(top, end)), end };
}

/** Find where to scroll to so that a row is to be seen, and no further. */
export function topFor(index: number, rowHeight: number, view: IView): number {
  const above = index * rowHeight;
  const below = above + rowHeight - view.height;
  return Math.max(below, Math.min(view.top, above), 0);
}

/** Find where a key leads in a list; null if it leads nowhere. */
export function indexFor(
  key: string,
  index: number,
  count: number,
  page: number
): number | null {
  const targets: Record<string, number> = {
    ArrowDown: index + 1,
    ArrowUp: index < 0 ? count - 1 : index - 1,
    PageDown: index + page,
    PageUp: index - page,
    Home: 0,
    End: count - 1
  };
  return count > 0 && key in targets
    ? Math.max(0, Math.min(count - 1, targets[key]))
    : null;
}
