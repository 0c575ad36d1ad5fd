/** A class that extends this one stamps its private fields onto whatever object it is given. */
export class ReturnedObject {
  constructor(object: object) {
    // What a constructor returns in place of a new object gets the fields of the classes below.
    return object;
  }
}
