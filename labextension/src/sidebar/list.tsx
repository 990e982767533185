import React from 'react';

import { indexFor, spanOf, topFor } from './windowing';
import type { ISpan, IView } from './windowing';

export interface IListProps<T> {
  readonly label: string;
  readonly items: readonly T[];
  readonly idOf: (item: T) => string;
  readonly children: (item: T) => JSX.Element;
  readonly selected: string | null;
  readonly onSelect: (id: string) => void;
  /** Enter, or a double click. */
  readonly onOpen: (id: string) => void;
  /** In pixels; only rows to be seen are drawn then, however many there are. */
  readonly rowHeight?: number;
}

/** A list in which the arrow keys move, and Enter opens. */
export function List<T>(props: IListProps<T>): JSX.Element {
  const { items, idOf, rowHeight, selected } = props;
  const base = React.useId();
  const box = React.useRef<HTMLDivElement>(null);
  const view = useView(box);
  const index = items.findIndex(item => idOf(item) === selected);
  const span: ISpan = rowHeight
    ? spanOf(items.length, rowHeight, view)
    : { first: 0, end: items.length };
  const isDrawn = span.first <= index && index < span.end;

  const show = (next: number): void => {
    if (box.current && rowHeight) {
      box.current.scrollTop = topFor(next, rowHeight, viewOf(box.current));
    } else {
      box.current
        ?.querySelector(`[aria-posinset="${next + 1}"]`)
        ?.scrollIntoView?.({ block: 'nearest' });
    }
  };
  const onKeyDown = (event: React.KeyboardEvent): void => {
    const page = Math.max(1, Math.floor(view.height / (rowHeight ?? 50)) - 1);
    const next = indexFor(event.key, index, items.length, page);
    if (next !== null) {
      props.onSelect(idOf(items[next]));
      show(next);
    } else if (event.key === 'Enter' && index >= 0) {
      props.onOpen(idOf(items[index]));
    } else {
      return;
    }
    event.preventDefault();
  };

  return (
    <div
      ref={box}
      className="jp-KubeList"
      role="listbox"
      tabIndex={0}
      aria-label={props.label}
      aria-activedescendant={isDrawn ? `${base}-${index}` : undefined}
      onKeyDown={onKeyDown}
    >
      <div
        role="presentation"
        style={
          rowHeight
            ? {
                paddingTop: span.first * rowHeight,
                paddingBottom: (items.length - span.end) * rowHeight
              }
            : undefined
        }
      >
        {items.slice(span.first, span.end).map((item, n) => {
          const id = idOf(item);
          return (
            <div
              key={id}
              id={`${base}-${span.first + n}`}
              className="jp-KubeList-row"
              role="option"
              aria-selected={id === selected}
              aria-posinset={span.first + n + 1}
              aria-setsize={items.length}
              style={rowHeight ? { height: rowHeight } : undefined}
              onClick={() => props.onSelect(id)}
              onDoubleClick={() => props.onOpen(id)}
            >
              {props.children(item)}
            </div>
          );
        })}
      </div>
    </div>
  );
}

const viewOf = (node: HTMLElement): IView => ({
  top: node.scrollTop,
  height: node.clientHeight
});

/** Follow how far a box is scrolled, and how high it is. */
function useView(box: React.RefObject<HTMLElement>): IView {
  const [view, setView] = React.useState<IView>({ top: 0, height: 0 });
  React.useLayoutEffect(() => {
    const node = box.current!;
    const look = (): void => setView(viewOf(node));
    const sizes = new ResizeObserver(look);
    look();
    sizes.observe(node);
    node.addEventListener('scroll', look, { passive: true });
    return () => {
      sizes.disconnect();
      node.removeEventListener('scroll', look);
    };
  }, [box]);
  return view;
}
