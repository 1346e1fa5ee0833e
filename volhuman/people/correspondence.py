"""Dense correspondences of a rendered picture with the embedded body.

Every pixel with the body in it knows the face of the template and the weights there:
through clothes, hair and hanging fabric, as an annotator would mark them.
"""

import numpy as np

from volhuman.body.template import load_template
from volhuman.people.person import PosedPerson
from volhuman.people.surface import fine_body
from volhuman.people.views import View


def sample_correspondences(
    generator: np.random.Generator, view: View, count: int
) -> dict[str, np.ndarray]:
    """Draws annotated points of a picture, as an annotator would click them.

    Args:
        generator: Source of randomness.
        view: The picture.
        count: Number of points; drawn with repetition where fewer pixels are seen.

    Returns:
        dense_pixels `(count, 2)` x, y in pixels; dense_face `(count,)`;
        dense_barycentric `(count, 3)`; dense_rest `(count, 3)` metres, the same points
        on the T-posed mean body.
    """
    row, column = np.nonzero(view.face >= 0)
    if not len(row):
        return {
            "dense_pixels": np.full((count, 2), -1, np.float32),
            "dense_face": np.full(count, -1, np.int32),
            "dense_barycentric": np.zeros((count, 3), np.float32),
            "dense_rest": np.zeros((count, 3), np.float32),
        }
    chosen = generator.choice(len(row), count, replace=len(row) < count)
    row, column = row[chosen], column[chosen]
    face, weights = view.face[row, column], view.barycentric[row, column]
    body = load_template()
    corners = np.asarray(body.template)[np.asarray(body.faces)[face]]
    return {
        "dense_pixels": np.stack([column + 0.5, row + 0.5], axis=1).astype(np.float32),
        "dense_face": face,
        "dense_barycentric": weights,
        "dense_rest": (weights[..., None] * corners).sum(1).astype(np.float32),
    }


def dressed_points(
    posed: PosedPerson, face: np.ndarray, barycentric: np.ndarray
) -> np.ndarray:
    """Finds surface points of the embedded body on the dressed surface of a person.

    With the correspondences of one picture and the same person in another pose, this
    gives the exact flow between the two.

    Args:
        posed: The person.
        face: `(N,)` faces of the embedded body.
        barycentric: `(N, 3)` weights in them.

    Returns:
        `(N, 3)` body space, metres.
    """
    body = fine_body()
    largest = barycentric.argmax(1)
    corner = barycentric[np.arange(len(face)), largest] >= 0.5
    quarter = np.where(corner, largest, 3)
    # Weights in a corner's quarter: twice those of the other two corners, the rest for
    # itself. In the middle quarter each corner of the face counts against one weight.
    outer = 2 * barycentric
    outer[np.arange(len(face)), largest] = 0
    outer[np.arange(len(face)), largest] = 1 - outer.sum(1)
    middle = 1 - 2 * barycentric[:, [2, 0, 1]]
    weights = np.where(corner[:, None], outer, middle)
    vertices = body.faces[quarter * body.num_coarse + face]
    surface = posed.parts[0].vertices
    return sum(weights[:, k, None] * surface[vertices[:, k]] for k in range(3))


def encode_iuv(view: View) -> np.ndarray:
    """Encodes correspondences as a picture `(S, S, 3)` uint8 of I, U and V.

    I is 1 plus the joint that moves the point most, 0 where there is no correspondence;
    U and V are the template's texture coordinates times 255.
    """
    body = load_template()
    seen = view.face >= 0
    face, weights = view.face[seen], view.barycentric[seen]
    faces, faces_uv = np.asarray(body.faces), np.asarray(body.faces_uv)
    uv = (weights[..., None] * np.asarray(body.uv)[faces_uv[face]]).sum(1)
    joint = np.asarray(body.weights).argmax(0)[faces[face, weights.argmax(1)]]
    picture = np.zeros((*seen.shape, 3), np.uint8)
    picture[seen, 0] = 1 + joint
    picture[seen, 1:] = np.round(np.clip(uv, 0, 1) * 255)
    return picture
