//! A backend of plotters that makes inline SVG: every shape through a template that escapes, every color a class of
//! the page's style sheet, so that pictures follow it into the dark and onto paper.

use std::convert::Infallible;
use std::ops::Range;

use maud::{Markup, html};
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters_backend::text_anchor::{HPos, Pos, VPos};
use plotters_backend::{BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind};

use crate::error::Error;

/// Units of the drawing in a pixel: plotters' coordinates are whole numbers, and curves want finer ones.
pub const UNIT: i32 = 10;

/// Names of colors. The numbers only tell them apart: what they look like is the style sheet's.
pub const INK: RGBColor = RGBColor(0, 0, 0);
pub const FAINT: RGBColor = RGBColor(0, 0, 1);
pub const GRID: RGBColor = RGBColor(0, 0, 2);
pub const PAPER: RGBColor = RGBColor(0, 0, 3);

/// Number of series with a color of their own.
pub const SERIES: usize = 8;

/// The color of the series of this number, again from the first after [`SERIES`].
pub fn series(number: usize) -> RGBColor {
    RGBColor(1, 0, (number % SERIES) as u8)
}

fn class(color: BackendColor) -> String {
    match color.rgb {
        (1, 0, number) => format!("c{number}"),
        (0, 0, 1) => "faint".to_owned(),
        (0, 0, 2) => "grid".to_owned(),
        (0, 0, 3) => "paper".to_owned(),
        _ => "ink".to_owned(),
    }
}

pub type Area<'a> = DrawingArea<Canvas<'a>, Shift>;
pub type Chart<'a, 'b> = ChartContext<'a, Canvas<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Sizes in pixels around and of the part that has axes, and the values at its edges.
pub struct Frame {
    pub width: u32,
    pub height: u32,
    pub left: u32,
    pub right: u32,
    pub top: u32,
    pub bottom: u32,
    pub x: Range<f64>,
    pub y: Range<f64>,
}

/// Draws a picture. `label` is what a screen reader says of it.
pub fn picture(
    frame: &Frame,
    label: &str,
    draw: impl FnOnce(&Area<'_>, &mut Chart<'_, '_>) -> Result<(), Error>,
) -> Result<Markup, Error> {
    let mut shapes = Vec::new();
    let (width, height) = (frame.width * UNIT as u32, frame.height * UNIT as u32);
    {
        let area = Canvas { size: (width, height), shapes: &mut shapes }.into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin_left(frame.left as i32 * UNIT)
            .margin_right(frame.right as i32 * UNIT)
            .margin_top(frame.top as i32 * UNIT)
            .margin_bottom(frame.bottom as i32 * UNIT)
            .build_cartesian_2d(frame.x.clone(), frame.y.clone())
            .map_err(failed)?;
        draw(&area, &mut chart)?;
        area.present().map_err(failed)?;
    }
    Ok(html! {
        svg role="img" aria-label=(label) viewBox={ "0 0 " (width) " " (height) } width=(frame.width)
            height=(frame.height) { @for shape in &shapes { (shape) } }
    })
}

/// plotters' errors as ours.
pub fn failed(error: impl std::fmt::Display) -> Error {
    Error::Picture(error.to_string())
}

/// A style of text: size in pixels, a color, and which point of it is placed.
pub fn text(size: u32, color: RGBColor, horizontal: HPos, vertical: VPos) -> TextStyle<'static> {
    TextStyle {
        font: ("sans-serif", size * UNIT as u32).into_font(),
        color: color.to_backend_color(),
        pos: Pos::new(horizontal, vertical),
    }
}

/// Width of a text in pixels, on the large side: the browser's font is not known here.
pub fn text_width(text: &str, size: u32) -> f64 {
    let em = |c: char| if u32::from(c) >= 0x1100 { 1.0 } else { 0.56 };
    text.chars().map(em).sum::<f64>() * f64::from(size)
}

/// A text cut in its middle to fit a width in pixels.
pub fn shortened(text: &str, size: u32, width: f64) -> String {
    if text_width(text, size) <= width {
        return text.to_owned();
    }
    let characters: Vec<char> = text.chars().collect();
    let joined = |kept: usize| -> String {
        let (head, tail) = (kept.div_ceil(2), kept / 2);
        let end = characters.iter().skip(characters.len() - tail);
        characters.iter().take(head).chain(std::iter::once(&'…')).chain(end).collect()
    };
    (1..characters.len()).rev().map(joined).find(|t| text_width(t, size) <= width).unwrap_or_else(|| "…".to_owned())
}

/// Takes plotters' shapes and keeps them as markup.
pub struct Canvas<'a> {
    size: (u32, u32),
    shapes: &'a mut Vec<Markup>,
}

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

impl Canvas<'_> {
    fn add(&mut self, color: BackendColor, shape: impl FnOnce(&str, Option<f64>) -> Markup) -> Drawn {
        if color.alpha > 0.0 {
            let opacity = (color.alpha < 1.0).then_some(color.alpha);
            self.shapes.push(shape(&class(color), opacity));
        }
        Ok(())
    }
}

fn points(path: impl IntoIterator<Item = BackendCoord>) -> String {
    path.into_iter().map(|(x, y)| format!("{x},{y}")).collect::<Vec<_>>().join(" ")
}

impl DrawingBackend for Canvas<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        self.size
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, (x, y): BackendCoord, color: BackendColor) -> Drawn {
        self.add(color, |class, opacity| {
            html! { rect.fill.(class) opacity=[opacity] x=(x) y=(y) width="1" height="1" {} }
        })
    }

    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Drawn {
        self.draw_path([from, to], style)
    }

    fn draw_rect<S: BackendStyle>(&mut self, a: BackendCoord, b: BackendCoord, style: &S, fill: bool) -> Drawn {
        let corners = [a, (b.0, a.1), b, (a.0, b.1)];
        if fill { self.fill_polygon(corners, style) } else { self.draw_path(corners.into_iter().chain([a]), style) }
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, path: I, style: &S) -> Drawn {
        let (path, width) = (points(path), style.stroke_width());
        self.add(style.color(), |class, opacity| {
            html! { polyline.line.(class) opacity=[opacity] stroke-width=(width) points=(path) {} }
        })
    }

    fn draw_circle<S: BackendStyle>(&mut self, (x, y): BackendCoord, radius: u32, style: &S, fill: bool) -> Drawn {
        let kind = if fill { "fill" } else { "line" };
        let width = (!fill).then(|| style.stroke_width());
        self.add(style.color(), |class, opacity| {
            html! { circle.(kind).(class) opacity=[opacity] stroke-width=[width] cx=(x) cy=(y) r=(radius) {} }
        })
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, corners: I, style: &S) -> Drawn {
        let corners = points(corners);
        self.add(style.color(), |class, opacity| html! { polygon.fill.(class) opacity=[opacity] points=(corners) {} })
    }

    fn draw_text<T: BackendTextStyle>(&mut self, text: &str, style: &T, (x, y): BackendCoord) -> Drawn {
        let size = style.size();
        let anchor = match style.anchor().h_pos {
            HPos::Left => "start",
            HPos::Center => "middle",
            HPos::Right => "end",
        };
        let rise = match style.anchor().v_pos {
            VPos::Top => 0.8,
            VPos::Center => 0.35,
            VPos::Bottom => -0.2,
        };
        let y = y + (rise * size) as i32;
        self.add(style.color(), |class, opacity| {
            html! { text.fill.(class) opacity=[opacity] x=(x) y=(y) font-size=(size) text-anchor=(anchor) { (text) } }
        })
    }

    fn estimate_text_size<T: BackendTextStyle>(
        &self,
        text: &str,
        style: &T,
    ) -> Result<(u32, u32), DrawingErrorKind<Infallible>> {
        Ok(((text_width(text, 1) * style.size()) as u32, style.size() as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_keep_both_ends_and_fit() {
        assert_eq!(shortened("short", 10, 100.0), "short");
        for name in ["small + LoRA(2000) + a very long name indeed", "中文名字很长很长很长很长很长很长"]
        {
            let cut = shortened(name, 10, 90.0);
            assert!(text_width(&cut, 10) <= 90.0 && cut.contains('…'), "{cut}");
            assert_eq!(cut.chars().next(), name.chars().next());
        }
        assert_eq!(shortened("anything", 10, 0.0), "…");
    }

    #[test]
    fn texts_in_a_picture_are_escaped_and_colors_are_classes() {
        let frame = Frame { width: 100, height: 50, left: 0, right: 0, top: 0, bottom: 0, x: 0.0..1.0, y: 0.0..1.0 };
        let svg = picture(&frame, "\"<b>", |area, chart| {
            let style = text(12, INK, HPos::Left, VPos::Top);
            area.draw_text("</svg><script>", &style, (0, 0)).map_err(failed)?;
            let path = PathElement::new(vec![(0.0, 0.0), (1.0, 1.0)], Color::stroke_width(&series(9), 20));
            chart.draw_series([path]).map_err(failed)?;
            Ok(())
        });
        let svg = svg.unwrap().into_string();
        assert!(svg.contains("&lt;/svg&gt;&lt;script&gt;") && svg.contains("&quot;&lt;b&gt;"), "{svg}");
        assert!(svg.contains("<polyline class=\"line c1\" stroke-width") && !svg.contains('#'), "{svg}");
    }
}
