/**
 * A dialog with a form that is not left by its accepting button while something in it is wrong.
 */
import { Dialog, ReactWidget } from '@jupyterlab/apputils';
import React from 'react';

/** What such a dialog shows. */
export abstract class FormBody<T>
  extends ReactWidget
  implements Dialog.IBodyWidget<T>
{
  /** What was filled in. */
  abstract getValue(): T;

  /** Whether something is wrong with it, as the form then says. */
  abstract get isWrong(): boolean;

  /** Lead to the first field that is wrong. */
  showWrong(): void {
    this.refusals++;
    this.update();
  }

  /** The form's fields. */
  protected abstract fields(): JSX.Element;

  protected render(): JSX.Element {
    return (
      <>
        {this.fields()}
        <Lead form={this.node} refusals={this.refusals} />
      </>
    );
  }

  /** How often it was not accepted. */
  protected refusals = 0;
}

/** Puts the focus on the first field that is wrong, each time the form was refused. */
function Lead(props: { form: HTMLElement; refusals: number }): null {
  React.useEffect(() => {
    if (props.refusals) {
      props.form.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
    }
  }, [props.refusals]);
  return null;
}

/** The dialog. */
export class FormDialog<T> extends Dialog<T> {
  constructor(private _options: FormDialog.IOptions<T>) {
    super(_options);
  }

  resolve(index?: number): void {
    const { body, buttons } = this._options;
    const button = buttons[index ?? buttons.length - 1];
    if (button.accept && body.isWrong) {
      body.showWrong();
      return;
    }
    super.resolve(index);
  }
}

export namespace FormDialog {
  export interface IOptions<T> {
    title: string;
    body: FormBody<T>;
    buttons: readonly Dialog.IButton[];
  }
}

/** Show a form; null if the user thought better of it. */
export async function ask<T>(
  options: FormDialog.IOptions<T>
): Promise<T | null> {
  const result = await new FormDialog<T>(options).launch();
  return result.button.accept ? result.value : null;
}
