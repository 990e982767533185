import { expect, test } from '../support/fixtures';
import { JobTab, Sidebar } from '../support/kube';

const RANKS = 30;
const LINES = 1_000_000;
/** What the tab keeps; see src/job/lines.ts. */
const MOST_LINES = 50_000;
/** MiB that it may take for that, far more than it does. */
const MOST_MEMORY = 150;

const FLOOD = `%%kubetrain python -w ${RANKS} --name flood --detach
for number in range(kube.rank, ${LINES}, kube.world_size):
    print("line", number, "loss 0.31 accuracy 0.87")`;

test('a million lines of thirty ranks leave the tab awake and small', async ({
  page,
  openNotebook
}) => {
  const story = await openNotebook('cpu', ['%load_ext jupyter_kube', FLOOD]);
  await story.ready();
  await story.run(0);
  await story.run(1);
  const sidebar = new Sidebar(page);
  await sidebar.open();
  await sidebar.job('flood').dblclick();
  const tab = new JobTab(page);
  await expect(tab.ranks).toHaveCount(RANKS);

  const tools = await page
    .context()
    .newCDPSession(await page.mainFrame().page());
  const memory = async () => {
    await tools.send('HeapProfiler.collectGarbage');
    const { usedSize } = await tools.send('Runtime.getHeapUsage');
    return usedSize / 2 ** 20;
  };
  const before = await memory();
  await page.evaluate(() => {
    const tasks: number[] = ((window as any).tasks = []);
    new PerformanceObserver(list =>
      tasks.push(...list.getEntries().map(({ duration }) => duration))
    ).observe({ type: 'longtask' });
  });
  await expect(tab.phase).toContainText('done');
  const tasks: number[] = await page.evaluate(() => (window as any).tasks);

  // Each line is there, or counted as one that is not.
  await tab.search.fill('line');
  const kept = async () => parseInt((await tab.count.textContent())!);
  const missing = async () => parseInt((await tab.missing.textContent())!);
  await expect.poll(async () => (await kept()) + (await missing())).toBe(LINES);
  expect(await kept()).toBeLessThanOrEqual(MOST_LINES);
  const taken = (await memory()) - before;
  expect(taken).toBeLessThan(MOST_MEMORY);

  // How long is not asserted: it says as much of the machine.
  const longest = Math.max(0, ...tasks);
  const late = tasks.filter(each => each > 200).length;
  console.log(
    `${taken.toFixed(0)} MiB; ${tasks.length} tasks took more than 50 ms, ` +
      `${late} more than 200 ms, the longest ${longest} ms`
  );
});
