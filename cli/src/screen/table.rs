//! Tables that fit, also on a narrow terminal.

use comfy_table::{Cell, ColumnConstraint, ContentArrangement, Row, Table as Inner, presets};

use super::{Mood, Screen, line};

/// A long text takes so many lines of a cell and no more.
const LINES: usize = 4;
/// Below so many columns the less important ones are left out.
const NARROW: u16 = 100;

/// A table without lines between its cells.
#[derive(Debug)]
pub(crate) struct Table {
    inner: Inner,
    screen: Screen,
    /// The widest first cell; ids are copied, so they are not broken where there is room.
    first: usize,
}

impl Table {
    pub(crate) fn new(screen: Screen, header: &[&str]) -> Self {
        let mut inner = Inner::new();
        inner.load_style(presets::NOTHING).force_no_tty();
        if screen.colour {
            inner.enforce_styling();
        }
        if let Some(width) = screen.width {
            inner.set_content_arrangement(ContentArrangement::Dynamic).set_width(width.max(20));
        }
        let cells = header.iter().map(|name| cell(screen, name, Some(Mood::Dim)));
        inner.set_header(Row::from(cells.collect::<Vec<_>>()));
        Self { inner, screen, first: header.first().map_or(0, |name| name.len()) }
    }

    /// Adds a row of texts, each with its mood.
    pub(crate) fn row(&mut self, cells: &[(&str, Option<Mood>)]) {
        if let Some((first, _)) = cells.first() {
            self.first = self.first.max(first.chars().count());
        }
        let cells = cells.iter().map(|(text, mood)| cell(self.screen, text, *mood));
        let mut row = Row::from(cells.collect::<Vec<_>>());
        row.max_height(LINES);
        self.inner.add_row(row);
    }

    /// Leaves these columns out where there is little room; `--json` has them all.
    pub(crate) fn hide_when_narrow(&mut self, columns: &[usize]) {
        if self.screen.width.is_some_and(|width| width < NARROW) {
            for index in columns {
                if let Some(column) = self.inner.column_mut(*index) {
                    column.set_constraint(ColumnConstraint::Hidden);
                }
            }
        }
    }

    /// Returns the table, each line with its end.
    pub(crate) fn text(mut self) -> String {
        for column in self.inner.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let room = self.screen.width.map_or(usize::MAX, usize::from);
        if self.first <= room / 2
            && let Some(column) = self.inner.column_mut(0)
        {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
        let mut text = String::new();
        for line in self.inner.lines() {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

fn cell(screen: Screen, text: &str, mood: Option<Mood>) -> Cell {
    let cell = Cell::new(line(text));
    match mood {
        Some(mood) if screen.colour => cell.fg(mood.colour()),
        _ => cell,
    }
}
