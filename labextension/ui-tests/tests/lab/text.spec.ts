import { expect, test } from '../support/fixtures';
import { JobTab, Sidebar, notices } from '../support/kube';

const ATTACK =
  '<img src=x onerror="window.attacked=1"><script>window.attacked=1</script>';
const NAME = '<img src=x onerror=window.attacked=1>';

test('what looks like HTML stays text wherever it is shown', async ({
  page,
  cluster,
  openNotebook
}) => {
  const story = await openNotebook(
    'cpu',
    [
      '%load_ext jupyter_kube',
      `%%kubetrain python -w 1 --name text --detach --retries 0
text = '''${ATTACK}'''
print(text)
kube.report(step=1, **{text: 1.0})
kube.report(step=2, **{text: 2.0})
raise ValueError(text)`
    ],
    { name: NAME }
  );
  await story.ready();
  await story.run(0);
  await story.run(1);
  const sidebar = new Sidebar(page);
  await sidebar.open();
  await expect(sidebar.kernel(NAME)).toBeVisible();
  await expect(sidebar.job('text')).toContainText(ATTACK);
  const notice = notices(page).filter({ hasText: 'failed' });
  await expect(notice).toContainText(ATTACK);
  await notice.getByRole('button', { name: 'Open' }).click();
  const tab = new JobTab(page);
  await expect(tab.lines).toContainText(`[0] ${ATTACK}`);
  await expect(tab.why).toContainText(ATTACK);
  await expect(tab.node.locator('figcaption')).toContainText(ATTACK);
  await tab.why.getByText('Traceback of rank 0').click();
  await sidebar.job('text').click();
  await sidebar.button('Why?').click();
  const dialog = page.getByRole('dialog');
  await expect(dialog).toContainText(ATTACK);
  await dialog.getByRole('button', { name: 'Close' }).click();
  await sidebar.button('New kernel').click();
  await expect(
    page.getByRole('menuitem', { name: 'No <i>such</i> image' })
  ).toBeVisible();
  await page.keyboard.press('Escape');

  const [job] = await cluster.list('jobs');
  await page.activity.activateTab(`${NAME}.ipynb`);
  await story.write(1, `%kube panel ${job.metadata.name}`);
  await story.run(1);
  await expect(story.output(1)).toContainText(`[0] ${ATTACK}`);
  await expect(story.output(1)).toContainText('ValueError');

  const shown = page.locator(
    '#jupyter-kube-sidebar, .jp-KubeJob, .Toastify, .jp-Cell-outputWrapper'
  );
  await expect(shown.locator('img, script')).toHaveCount(0);
  expect(await page.evaluate(() => (window as any).attacked)).toBeUndefined();
});
