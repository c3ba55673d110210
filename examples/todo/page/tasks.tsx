/** The tasks of a list. Each is a component of its own, which changes only when it has to. */

import { useRow, useRowStatus, useTable } from '@sync-coordinator/client/react';
import { type KeyboardEvent, memo, useState } from 'react';
import { TitleForm } from './form.tsx';
import { Avatar } from './presence.tsx';
import { addTask, deleteTask, editTask, type Task } from './sync.ts';

export function Tasks({ list, title }: { list: string; title: string }) {
  const tasks = useTable<Task>('tasks')
    .filter(({ row }) => row.list === list)
    .sort((a, b) => a.row.madeAt - b.row.madeAt);
  return (
    <>
      <h2>{title}</h2>
      <ul className="tasks">
        {tasks.map(({ pk: [id] }) => (
          <TaskItem key={String(id)} id={String(id)} />
        ))}
      </ul>
      <TitleForm label="New task" onAdd={(added) => addTask(list, added)} />
    </>
  );
}

const TaskItem = memo(function TaskItem({ id }: { id: string }) {
  const task = useRow<Task>('tasks', [id]);
  const { isPending } = useRowStatus('tasks', [id]);
  if (task === undefined) return undefined;
  const { title, done, owner } = task;
  return (
    <li className={done ? 'done' : undefined}>
      <input
        type="checkbox"
        checked={done}
        aria-label={`Done: ${title}`}
        onChange={(event) => editTask(id, { done: event.target.checked })}
      />
      <Title id={id} title={title} />
      {isPending && (
        <span className="pending" title="Not on the server yet">
          <span className="hidden">Not on the server yet</span>
        </span>
      )}
      <Avatar name={owner} />
      <button
        type="button"
        aria-label={`Delete: ${title}`}
        onClick={({ currentTarget }) => {
          // This button goes away with its task; who works by keys goes on where tasks are added.
          currentTarget.closest('main')?.querySelector<HTMLElement>('form input')?.focus();
          deleteTask(id);
        }}
      >
        ×
      </button>
    </li>
  );
});

/** Written when it is left or with Enter; Escape leaves it as it was. */
function Title({ id, title }: { id: string; title: string }) {
  /** What is being typed, whatever others write meanwhile. */
  const [draft, setDraft] = useState<string>();
  const save = () => {
    if (draft !== undefined && draft !== title) editTask(id, { title: draft });
    setDraft(undefined);
  };
  const onKeyDown = ({ key, currentTarget }: KeyboardEvent<HTMLInputElement>) => {
    if (key === 'Escape') setDraft(undefined);
    if (key === 'Enter') currentTarget.blur();
  };
  return (
    <input
      className="title"
      aria-label={`Title: ${title}`}
      value={draft ?? title}
      onChange={(event) => setDraft(event.target.value)}
      onBlur={save}
      onKeyDown={onKeyDown}
    />
  );
}
